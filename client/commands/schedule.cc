// seer schedule: create, set, list, describe, delete.
#include "client/commands/schedule.h"

#include <grpcpp/grpcpp.h>

#include <CLI/CLI.hpp>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "client/cli.h"
#include "client/commands/job.h"
#include "client/commands/spec_file.h"
#include "client/confirm.h"
#include "client/coordinator_call.h"
#include "client/exit_code.h"
#include "client/paging.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/flags/choice.h"
#include "common/rpc/status_grpc.h"
#include "common/spec/yaml.h"
#include "seer/v1/schedules.grpc.pb.h"

namespace seer::client {
namespace {

// Its jobs have names of their own: that of the file is not looked at.
absl::StatusOr<v1::JobSpec> ReadTemplate(const SpecOptions& file) {
  SEER_ASSIGN_OR_RETURN(v1::JobSpec spec, ReadGivenSpec(file));
  spec.mutable_metadata()->clear_name();
  return spec;
}

using google::protobuf::Message;

const v1::Schedule& As(const Message& m) { return static_cast<const v1::Schedule&>(m); }

std::string NameOf(const v1::Schedule& schedule) {
  return std::string(absl::StripPrefix(schedule.name(), "schedules/"));
}
std::string OverlapOf(const v1::Schedule& schedule) {
  return absl::AsciiStrToLower(
      EnumName(v1::OverlapPolicy_Name(schedule.overlap()), "OVERLAP_POLICY_"));
}
std::string NextOf(const v1::Schedule& schedule) {
  return schedule.suspended() ? "suspended" : FormatTime(schedule.next_time());
}

// Calls `method` and prints the schedule that it gives.
template <typename Request>
int CallAndPrint(Session& session,
                 grpc::Status (v1::Schedules::Stub::*method)(grpc::ClientContext*, const Request&,
                                                             v1::Schedule*),
                 const Request& request) {
  const auto called = CallCoordinator<v1::Schedules>(session, method, request);
  if (!called.ok()) return Fail(called.status());
  const v1::Schedule& schedule = *called;
  PrintOne(session.form, schedule,
           {{"Schedule", NameOf(schedule)},
            {"Times", absl::StrCat(schedule.cron(), " (UTC)")},
            {"Next", NextOf(schedule)},
            {"Last", FormatTime(schedule.last_time())},
            {"Last job", ShortId(schedule.last_job())},
            {"Last made none", schedule.last_message()},
            {"Overlap", OverlapOf(schedule)},
            {"Etag", schedule.etag()}});
  if (session.form == OutputForm::kTable || session.form == OutputForm::kWide)
    std::printf("Spec:\n%s", FormatJobSpec(schedule.spec()).c_str());
  return kExitOk;
}

int List(Session& session) {
  const auto channel = session.Coordinator();
  if (!channel.ok()) return Fail(channel.status());
  const auto stub = v1::Schedules::NewStub(*channel);
  v1::ListSchedulesRequest request;
  const auto schedules = FetchPages<v1::Schedule>(session, "the coordinator", *stub,
                                                  &v1::Schedules::Stub::ListSchedules, request,
                                                  &v1::ListSchedulesResponse::schedules);
  if (!schedules.ok()) return Fail(schedules.status());
  std::vector<const Message*> items;
  for (const auto& schedule : *schedules) items.push_back(&schedule);
  PrintList(session.form, items,
            {{"NAME", [](const Message& m) { return NameOf(As(m)); }},
             {"TIMES", [](const Message& m) { return As(m).cron(); }},
             {"NEXT", [](const Message& m) { return NextOf(As(m)); }},
             {"LAST", [](const Message& m) { return FormatTime(As(m).last_time()); }},
             {"LAST JOB", [](const Message& m) { return ShortId(As(m).last_job()); }},
             {"OVERLAP", [](const Message& m) { return OverlapOf(As(m)); }, true},
             {"MADE NONE", [](const Message& m) { return As(m).last_message(); }, true}});
  return kExitOk;
}

// What may be said of a schedule; empty: nothing was.
struct ScheduleOptions {
  std::string name, cron, overlap, etag;
  SpecOptions spec;
  bool suspend = false, resume = false, yes = false;
};

void AddOptions(CLI::App& command, ScheduleOptions& options) {
  command.add_option("--cron", options.cron,
                     "Minute, hour, day of the month, month, day of the week, in UTC, as crontab "
                     "has them: '0 3 * * 1-5'; or @hourly, @daily, @weekly, @monthly");
  AddWord(command, "--overlap", options.overlap, {"skip", "allow", "replace"},
          "When the job before has not ended: skip (default), allow, or replace it");
  command.add_option("--set", options.spec.sets, "KEY=VALUE over the file, may be repeated")
      ->take_all()
      ->allow_extra_args(false);
}

v1::OverlapPolicy OverlapFrom(const std::string& text) {
  return text == "allow"     ? v1::OVERLAP_POLICY_ALLOW
         : text == "replace" ? v1::OVERLAP_POLICY_REPLACE
                             : v1::OVERLAP_POLICY_SKIP;
}

absl::Status ReadCreate(const ScheduleOptions& options, v1::Schedule& schedule) {
  schedule.set_name(absl::StrCat("schedules/", options.name));
  schedule.set_cron(options.cron);
  schedule.set_overlap(OverlapFrom(options.overlap));
  schedule.set_suspended(options.suspend);
  SEER_ASSIGN_OR_RETURN(*schedule.mutable_spec(), ReadTemplate(options.spec));
  return absl::OkStatus();
}

absl::Status ReadUpdate(const ScheduleOptions& options, v1::UpdateScheduleRequest& request) {
  v1::Schedule& schedule = *request.mutable_schedule();
  auto& mask = *request.mutable_update_mask();
  schedule.set_name(options.name);
  schedule.set_etag(options.etag);
  if (!options.cron.empty()) {
    schedule.set_cron(options.cron);
    mask.add_paths("cron");
  }
  if (!options.overlap.empty()) {
    schedule.set_overlap(OverlapFrom(options.overlap));
    mask.add_paths("overlap");
  }
  if (options.suspend || options.resume) {
    schedule.set_suspended(options.suspend);
    mask.add_paths("suspended");
  }
  if (!options.spec.file.empty()) {
    SEER_ASSIGN_OR_RETURN(*schedule.mutable_spec(), ReadTemplate(options.spec));
    mask.add_paths("spec");
  } else if (!options.spec.sets.empty()) {
    return Error(absl::StatusCode::kInvalidArgument, reason::kMissingField,
                 "--set without a file to set it in")
        .Field("--file")
        .Hint("name the job's YAML file with --file");
  }
  if (!mask.paths().empty()) return absl::OkStatus();
  return Error(absl::StatusCode::kInvalidArgument, reason::kMissingField, "nothing to change")
      .Hint("`seer schedule set --help` shows what can be");
}

void AddCreate(CLI::App& parent, Session& session) {
  auto options = std::make_shared<ScheduleOptions>();
  CLI::App* command = parent.add_subcommand("create", "Submit a job again and again, by the clock");
  command->add_option("name", options->name, "1 to 63 of a-z, 0-9 and '-'")->required();
  command->add_option("file", options->spec.file, "YAML file with the job, or - for stdin")
      ->required();
  AddOptions(*command, *options);
  command->get_option("--cron")->required();
  command->add_flag("--suspended", options->suspend, "Make no job until it is resumed");
  command->footer(
      "Examples:\n  seer schedule create nightly job.yaml --cron '0 3 * * *'\n  seer schedule "
      "create weekly job.yaml --cron @weekly --overlap replace");
  command->callback([&session, options] {
    v1::CreateScheduleRequest request;
    const absl::Status read = ReadCreate(*options, *request.mutable_schedule());
    session.exit_code = read.ok()
                            ? CallAndPrint(session, &v1::Schedules::Stub::CreateSchedule, request)
                            : Fail(read);
  });
}

void AddSetSchedule(CLI::App& parent, Session& session) {
  auto options = std::make_shared<ScheduleOptions>();
  CLI::App* command = parent.add_subcommand("set", "Change a schedule; what is not named stays");
  command->add_option("name", options->name, "Of the schedule")->required();
  AddOptions(*command, *options);
  command->add_option("--file", options->spec.file, "YAML file with the job from now on");
  CLI::Option* suspend =
      command->add_flag("--suspend", options->suspend, "Make no job until it is resumed");
  command->add_flag("--resume", options->resume, "Make jobs again, from now on")->excludes(suspend);
  command->add_option("--etag", options->etag,
                      "Only if it is still as `describe` showed it with this etag");
  command->footer(
      "Examples:\n  seer schedule set nightly --cron '30 2 * * *'\n  seer schedule set nightly "
      "--suspend");
  command->callback([&session, options] {
    v1::UpdateScheduleRequest request;
    const absl::Status read = ReadUpdate(*options, request);
    session.exit_code = read.ok()
                            ? CallAndPrint(session, &v1::Schedules::Stub::UpdateSchedule, request)
                            : Fail(read);
  });
}

void AddDescribeSchedule(CLI::App& parent, Session& session) {
  auto name = std::make_shared<std::string>();
  CLI::App* command = parent.add_subcommand("describe", "Show a schedule and its job");
  command->add_option("name", *name, "Of the schedule")->required();
  command->footer("Example:\n  seer schedule describe nightly");
  command->callback([&session, name] {
    v1::GetScheduleRequest request;
    request.set_name(*name);
    session.exit_code = CallAndPrint(session, &v1::Schedules::Stub::GetSchedule, request);
  });
}

absl::Status Delete(Session& session, const std::string& name, bool yes) {
  v1::GetScheduleRequest look;
  look.set_name(name);
  SEER_RETURN_IF_ERROR(
      CallCoordinator<v1::Schedules>(session, &v1::Schedules::Stub::GetSchedule, look).status());
  SEER_RETURN_IF_ERROR(Confirm(absl::StrCat("delete schedule ", name), yes, *session.interrupt));
  v1::DeleteScheduleRequest request;
  request.set_name(name);
  SEER_ASSIGN_OR_RETURN(
      const v1::Schedule schedule,
      CallCoordinator<v1::Schedules>(session, &v1::Schedules::Stub::DeleteSchedule, request));
  PrintDeleted(session.form, schedule, NameOf(schedule));
  return absl::OkStatus();
}

void AddDelete(CLI::App& parent, Session& session) {
  auto options = std::make_shared<ScheduleOptions>();
  CLI::App* command = parent.add_subcommand("delete", "Remove a schedule; the jobs it made stay");
  command->add_option("name", options->name, "Of the schedule")->required();
  command->add_flag("-y,--yes", options->yes, "Do not ask");
  command->footer("Example:\n  seer schedule delete nightly --yes");
  command->callback([&session, options] {
    const absl::Status deleted = Delete(session, options->name, options->yes);
    session.exit_code = deleted.ok() ? kExitOk : Fail(deleted);
  });
}

}  // namespace

void AddScheduleCommands(CLI::App& app, Session& session) {
  CLI::App* noun = app.add_subcommand("schedule", "Submit jobs by the clock");
  noun->require_subcommand(1);
  noun->footer("Example:\n  seer schedule create nightly job.yaml --cron '0 3 * * *'");
  AddCreate(*noun, session);
  AddSetSchedule(*noun, session);
  CLI::App* list = noun->add_subcommand("list", "List schedules");
  list->footer("Example:\n  seer schedule list");
  list->callback([&session] { session.exit_code = List(session); });
  AddDescribeSchedule(*noun, session);
  AddDelete(*noun, session);
}

}  // namespace seer::client
