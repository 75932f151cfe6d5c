// seer job list, describe, events and logs; the shortcuts ps and logs.
#include <grpcpp/grpcpp.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "client/commands/job.h"
#include "client/follow.h"
#include "client/paging.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/flags/number.h"
#include "common/rpc/channel.h"
#include "common/rpc/status_grpc.h"

namespace seer::client {
namespace {

using google::protobuf::Message;

std::vector<const Message*> Pointers(const std::vector<v1::Job>& jobs) {
  std::vector<const Message*> items;
  for (const v1::Job& job : jobs) items.push_back(&job);
  return items;
}

int List(Session& session, const std::vector<std::string>& names) {
  std::vector<v1::JobState> states;
  for (const std::string& text : names) {
    v1::JobState state;
    if (!v1::JobState_Parse(absl::StrCat("JOB_STATE_", absl::AsciiStrToUpper(text)), &state))
      return Fail(Error(absl::StatusCode::kInvalidArgument, reason::kOutOfRange,
                        absl::StrCat("no state '", text, "'"))
                      .Hint("queued, starting, running, pausing, paused, restarting, succeeded, "
                            "failed, cancelled"));
    states.push_back(state);
  }
  const auto channel = session.Coordinator();
  if (!channel.ok()) return Fail(channel.status());
  const auto stub = v1::Jobs::NewStub(*channel);
  const auto jobs = FetchJobs(session, *stub, states);
  if (!jobs.ok()) return Fail(jobs.status());
  PrintList(session.form, Pointers(*jobs), JobColumns());
  return kExitOk;
}

void PrintLine(OutputForm form, const v1::LogLine& line) {
  if (IsDocument(form)) return PrintOne(OutputForm::kJsonl, line, {});
  std::printf("%d/%d %s\n", line.attempt(), line.rank(), line.text().c_str());
}

// Opened again when it breaks, behind the last line that came, once one answered.
int Logs(Session& session, v1::Jobs::Stub& stub, const std::string& name, bool follow, int tail) {
  if (session.form == OutputForm::kYaml || session.form == OutputForm::kName) {
    return Fail(Error(absl::StatusCode::kInvalidArgument, reason::kInvalidArgument,
                      "lines of a log are no YAML and have no names")
                    .Field("-o")
                    .Hint("-o json prints an object a line"));
  }
  v1::ReadLogsRequest request;
  request.set_name(name);
  request.set_follow(follow);
  request.set_tail(tail);
  bool answered = false, said_away = false;
  while (true) {
    grpc::ClientContext context;
    Interrupt::Scope scope(*session.interrupt, context);
    auto stream = stub.ReadLogs(&context, request);
    stream->WaitForInitialMetadata();
    if (!context.GetServerInitialMetadata().empty()) {  // not of a stream that never began
      if (std::exchange(said_away, false)) Note("the coordinator is back");
      answered = true;
    }
    v1::LogLine line;
    while (stream->Read(&line)) {
      PrintLine(session.form, line);
      if (const absl::Status written = FlushOutput(); !written.ok()) {
        context.TryCancel();
        stream->Finish();
        return Fail(written);
      }
      request.set_after(line.position());
      request.set_tail(0);
    }
    const absl::Status status = FromGrpc(stream->Finish());
    if (session.interrupt->caught()) {
      Note(absl::StrCat("detached; the job goes on. Come back with `seer job logs ",
                        follow ? "-f " : "", ShortId(name), "`"));
      return kExitInterrupted;
    }
    if (status.ok()) return kExitOk;
    if (!follow || !answered || !WentAway(status))
      return Fail(ReachStatus("the coordinator", status));
    if (!std::exchange(said_away, true))
      Note("the coordinator is away; the job trains on, and its lines come when it is back");
    session.interrupt->SleepFor(kFollowRetry);
  }
}

int Events(Session& session, v1::Jobs::Stub& stub, const std::string& name) {
  const auto events = FetchEvents(session, stub, name);
  if (!events.ok()) return Fail(events.status());
  const auto as = [](const Message& m) -> const v1::Event& {
    return static_cast<const v1::Event&>(m);
  };
  std::vector<const Message*> items;
  for (const v1::Event& event : *events) items.push_back(&event);
  PrintList(
      session.form, items,
      {{"NUMBER", [&](const Message& m) { return absl::StrCat(as(m).number()); }},
       {"TIME", [&](const Message& m) { return FormatTime(as(m).create_time()); }},
       {"ATTEMPT", [&](const Message& m) { return absl::StrCat(as(m).attempt()); }},
       {"TYPE", [&](const Message& m) { return as(m).type(); }},
       {"CHANGE",
        [&](const Message& m) {
          return as(m).from_state().empty()
                     ? std::string("-")
                     : absl::StrCat(as(m).from_state(), " -> ", as(m).to_state());
        }},
       {"REASON", [&](const Message& m) { return as(m).reason().empty() ? "-" : as(m).reason(); }},
       {"MESSAGE", [&](const Message& m) { return as(m).message(); }}});
  return kExitOk;
}

}  // namespace

absl::StatusOr<std::vector<v1::Event>> FetchEvents(const Session& session, v1::Jobs::Stub& stub,
                                                   const std::string& name) {
  v1::ListEventsRequest request;
  request.set_name(name);
  std::vector<v1::Event> events;
  while (true) {
    v1::ListEventsResponse response;
    SEER_RETURN_IF_ERROR(session.Call("the coordinator", [&](grpc::ClientContext& context) {
      return FromGrpc(stub.ListEvents(&context, request, &response));
    }));
    if (response.events().empty()) return events;
    events.insert(events.end(), response.events().begin(), response.events().end());
    request.set_after_number(events.back().number());
  }
}

absl::StatusOr<std::vector<v1::Job>> FetchJobs(const Session& session, v1::Jobs::Stub& stub,
                                               const std::vector<v1::JobState>& states) {
  v1::ListJobsRequest request;
  request.set_page_size(1000);
  for (const v1::JobState state : states) request.add_states(state);
  return FetchPages<v1::Job>(session, "the coordinator", stub, &v1::Jobs::Stub::ListJobs, request,
                             &v1::ListJobsResponse::jobs);
}

void AddList(CLI::App& parent, Session& session, const char* verb) {
  auto states = std::make_shared<std::vector<std::string>>();
  CLI::App* command = parent.add_subcommand(verb, "List jobs, the newest first");
  command->add_option("--state", *states, "Only jobs of this state, may be repeated");
  command->footer(absl::StrCat("Examples:\n  seer ", verb == std::string("ps") ? "ps" : "job list",
                               "\n  seer job list --state running -o json"));
  command->callback([&session, states] { session.exit_code = List(session, *states); });
}

void AddDescribe(CLI::App& parent, Session& session) {
  auto name = std::make_shared<std::string>();
  CLI::App* describe = parent.add_subcommand("describe", "Show a job");
  AddJobArgument(*describe, *name);
  describe->footer(
      "Examples:\n  seer job describe job_ab12cd34\n  seer job describe digits -o yaml");
  describe->callback([&session, name] {
    session.exit_code = WithJob(session, *name, [&](v1::Jobs::Stub& stub, const std::string& full) {
      v1::GetJobRequest request;
      request.set_name(full);
      v1::Job job;
      const absl::Status status =
          session.Call("the coordinator", [&](grpc::ClientContext& context) {
            return FromGrpc(stub.GetJob(&context, request, &job));
          });
      if (!status.ok()) return Fail(status);
      PrintOne(session.form, job, JobDescription(job));
      const bool wide = session.form == OutputForm::kWide;
      if (wide || session.form == OutputForm::kTable) PrintRanks(job, wide);
      return kExitOk;
    });
  });
}

void AddEvents(CLI::App& parent, Session& session) {
  auto of_events = std::make_shared<std::string>();
  CLI::App* events = parent.add_subcommand("events", "List every change of a job with its reason");
  AddJobArgument(*events, *of_events);
  events->footer("Example:\n  seer job events job_ab12cd34");
  events->callback([&session, of_events] {
    session.exit_code = WithJob(
        session, *of_events,
        [&](v1::Jobs::Stub& stub, const std::string& full) { return Events(session, stub, full); });
  });
}

void AddLogs(CLI::App& parent, Session& session) {
  struct Options {
    std::string job;
    bool follow = false;
    int tail = 0;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command = parent.add_subcommand(
      "logs",
      "Print what the job's ranks wrote, as ATTEMPT/RANK LINE, or with -o json an object a line");
  AddJobArgument(*command, options->job);
  command->add_flag("-f,--follow", options->follow,
                    "Go on until the job ends, also over a restart of the coordinator");
  command->add_option("--tail", options->tail, "Only the last N lines")->check(AtLeast(0));
  command->footer("Examples:\n  seer job logs -f job_ab12cd34\n  seer logs digits --tail 20");
  command->callback([&session, options] {
    session.exit_code =
        WithJob(session, options->job, [&](v1::Jobs::Stub& stub, const std::string& name) {
          return Logs(session, stub, name, options->follow, options->tail);
        });
  });
}

}  // namespace seer::client
