// seer job: submit, plan, list, describe, logs, events, wait, pause, resume, cancel; and the
// shortcuts submit, ps, logs.
#include <grpcpp/grpcpp.h>

#include <CLI/CLI.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <memory>
#include <sstream>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "client/cli.h"
#include "client/exit_code.h"
#include "client/follow.h"
#include "client/plan.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/rpc/channel.h"
#include "common/rpc/status_grpc.h"
#include "common/spec/defaults.h"
#include "common/spec/validate.h"
#include "common/spec/yaml.h"
#include "seer/v1/jobs.grpc.pb.h"

namespace seer::client {
namespace {

using google::protobuf::Message;

std::string ShortId(const std::string& name) {
  return std::string(absl::StripPrefix(name, "jobs/"));
}
const v1::Job& AsJob(const Message& message) { return static_cast<const v1::Job&>(message); }
std::string State(const v1::Job& job) {
  return EnumName(v1::JobState_Name(job.state()), "JOB_STATE_");
}
std::string Steps(const v1::Job& job) {
  if (job.spec().kind() == v1::JOB_KIND_EVAL_KNN) return "-";
  return absl::StrCat(job.progress().step(), "/", job.spec().optim().steps());
}

const std::vector<Column>& JobColumns() {
  static const auto& columns = *new std::vector<Column>{
      {"ID", [](const Message& m) { return ShortId(AsJob(m).name()); }},
      {"NAME", [](const Message& m) { return AsJob(m).spec().metadata().name(); }},
      {"STATE", [](const Message& m) { return State(AsJob(m)); }},
      {"STEP", [](const Message& m) { return Steps(AsJob(m)); }},
      {"LOSS",
       [](const Message& m) {
         return AsJob(m).progress().step() > 0 ? absl::StrFormat("%.4f", AsJob(m).progress().loss())
                                               : std::string("-");
       }},
      {"RANKS",
       [](const Message& m) { return absl::StrCat(AsJob(m).spec().distributed().ranks()); }},
      {"ATTEMPT", [](const Message& m) { return absl::StrCat(AsJob(m).attempt()); }, true},
      {"IMAGES/S",
       [](const Message& m) {
         return absl::StrFormat("%.0f", AsJob(m).progress().images_per_second());
       },
       true},
      {"CHECKPOINT", [](const Message& m) { return absl::StrCat(AsJob(m).last_checkpoint_step()); },
       true},
      {"AGE", [](const Message& m) { return FormatAge(AsJob(m).create_time()); }},
      {"MESSAGE", [](const Message& m) { return AsJob(m).state_message(); }, true}};
  return columns;
}

std::vector<std::pair<std::string, std::string>> Description(const v1::Job& job) {
  const auto& p = job.progress();
  std::vector<std::pair<std::string, std::string>> lines = {
      {"Job", ShortId(job.name())},
      {"Name", job.spec().metadata().name()},
      {"State", State(job)},
      {"Reason", job.state_reason()},
      {"Message", job.state_message()},
      {"Created", FormatTime(job.create_time())},
      {"Started", FormatTime(job.start_time())},
      {"Ended", FormatTime(job.end_time())},
      {"Attempt", absl::StrCat(job.attempt())},
      {"Steps", Steps(job)}};
  if (p.step() > 0) {
    lines.emplace_back("Loss", absl::StrFormat("%.4f (first %.4f)", p.loss(), job.first_loss()));
    lines.emplace_back("Speed", absl::StrFormat("%.0f images/s, %.3f s a step, data stall %.1f%%",
                                                p.images_per_second(), p.step_seconds(),
                                                job.data_stall_ratio() * 100));
    lines.emplace_back("Prototypes used",
                       absl::StrFormat("%.0f%%", p.prototypes_used_ratio() * 100));
    lines.emplace_back("Assignment entropy",
                       absl::StrFormat("%.3f nats", p.assignment_entropy_nats()));
    lines.emplace_back("Feature std", absl::StrFormat("%.4f", p.feature_std()));
    if (p.skipped_steps() > 0) lines.emplace_back("Skipped steps", absl::StrCat(p.skipped_steps()));
  }
  for (const auto& entry : job.data_plan())
    lines.emplace_back("Data", absl::StrCat("pool ", job.spec().data().pool(), " generation ",
                                            entry.generation(), " from step ", entry.first_step()));
  if (job.last_checkpoint_step() > 0)
    lines.emplace_back("Last checkpoint",
                       absl::StrCat(job.name(), "/checkpoints/", job.last_checkpoint_step()));
  for (const auto& rank : job.ranks())
    lines.emplace_back(absl::StrCat("Rank ", rank.rank()),
                       absl::StrCat(rank.worker(), " ", rank.state()));
  for (const auto& knn : job.eval_result().knn())
    lines.emplace_back(absl::StrCat("k-NN, k=", knn.k()),
                       absl::StrFormat("top-1 %.2f%%, top-5 %.2f%%", knn.top1_ratio() * 100,
                                       knn.top5_ratio() * 100));
  return lines;
}

absl::StatusOr<std::unique_ptr<v1::Jobs::Stub>> Stub(const Session& session) {
  SEER_ASSIGN_OR_RETURN(auto channel, session.Coordinator());
  return v1::Jobs::NewStub(channel);
}

std::vector<std::string> RecipeDirs(const std::string& file) {
  std::vector<std::string> dirs;
  if (const char* dir = std::getenv("SEER_RECIPES")) dirs.push_back(dir);
  dirs.push_back(std::filesystem::path(file).parent_path().string());
  if (dirs.back().empty()) dirs.back() = ".";
  dirs.push_back("recipes");
  std::error_code error;
  const auto binary = std::filesystem::read_symlink("/proc/self/exe", error).parent_path();
  dirs.push_back((binary / "../share/seer/recipes").string());
  dirs.push_back((binary / "../../../recipes").string());  // a build folder of the source tree
  return dirs;
}

struct SpecOptions {
  std::string file;
  std::vector<std::string> sets;
  std::string name;
};

absl::StatusOr<v1::JobSpec> ReadSpec(const SpecOptions& options) {
  std::stringstream text;
  std::string source = options.file;
  if (options.file == "-") {
    source = "stdin";
    text << std::cin.rdbuf();
  } else {
    std::ifstream file(options.file);
    if (!file || std::filesystem::is_directory(options.file))
      return Error(absl::StatusCode::kInvalidArgument, reason::kInvalidArgument,
                   absl::StrCat("cannot read ", options.file))
          .Hint("name a YAML file with a job; recipes/ has examples");
    text << file.rdbuf();
  }
  SEER_ASSIGN_OR_RETURN(v1::JobSpec spec,
                        ParseJobSpec(text.str(), source, RecipeDirs(options.file)));
  for (const std::string& assignment : options.sets)
    SEER_RETURN_IF_ERROR(ApplySet(spec, assignment));
  if (!options.name.empty()) spec.mutable_metadata()->set_name(options.name);
  FillDefaults(spec);
  SEER_RETURN_IF_ERROR(ValidateJobSpec(spec));
  return spec;
}

void AddSpecOptions(CLI::App& app, SpecOptions& options) {
  app.add_option("file", options.file, "YAML file with the job, or - for stdin")->required();
  app.add_option("--set", options.sets, "KEY=VALUE over the file, may be repeated")
      ->take_all()
      ->allow_extra_args(false);
  app.add_option("--name", options.name, "The job's name");
}

struct FollowOptions {
  bool follow = false;
  bool wait = false;
  std::string timeout;
};

absl::StatusOr<absl::Duration> ReadTimeout(const std::string& text) {
  absl::Duration timeout = absl::InfiniteDuration();
  if (!text.empty() && (!absl::ParseDuration(text, &timeout) || timeout < absl::ZeroDuration())) {
    return Error(absl::StatusCode::kInvalidArgument, reason::kWrongType,
                 absl::StrCat("--timeout ", text, " is not a duration"))
        .Hint("write 90s, 5m or 36h");
  }
  return timeout;
}

void AddFollowOptions(CLI::App& app, FollowOptions& options) {
  app.add_flag("--follow,-f", options.follow, "Show progress until the job ends; Ctrl-C detaches");
  app.add_flag("--wait", options.wait, "Wait until the job ends, quietly");
  app.add_option("--timeout", options.timeout, "Wait at most so long: 90s, 5m, 36h");
}

int Submit(Session& session, const SpecOptions& spec_options, const FollowOptions& follow,
           bool dry_run) {
  const auto spec = ReadSpec(spec_options);
  if (!spec.ok()) return Fail(spec.status());
  const auto timeout = ReadTimeout(follow.timeout);
  if (!timeout.ok()) return Fail(timeout.status());
  if (dry_run) {
    std::cout << FormatJobSpec(*spec);
    return kExitOk;
  }
  const auto stub = Stub(session);
  if (!stub.ok()) return Fail(stub.status());
  v1::CreateJobRequest request;
  *request.mutable_spec() = *spec;
  request.set_request_id(NewRequestId());  // the same for every retry
  v1::Job job;
  const absl::Status made = CallWithRetry({}, "the coordinator", [&](grpc::ClientContext& context) {
    Interrupt::Scope scope(*session.interrupt, context);
    return FromGrpc((*stub)->CreateJob(&context, request, &job));
  });
  if (session.interrupt->caught()) {
    Note("interrupted: the job may have been submitted; `seer job list` shows it");
    return kExitInterrupted;
  }
  if (!made.ok()) return Fail(made);
  if (!follow.follow && !follow.wait) {
    if (session.form == OutputForm::kTable || session.form == OutputForm::kWide) {
      std::cout << ShortId(job.name()) << std::endl;
      Note(absl::StrCat("submitted; follow it with `seer job wait --follow ", ShortId(job.name()),
                        "`"));
    } else {
      PrintOne(session.form, job, {});
    }
    return kExitOk;
  }
  std::cout << ShortId(job.name()) << std::endl;
  const int code = FollowJob(**stub, job.name(), follow.follow, *timeout, *session.interrupt, job);
  if (code == kExitFailed)
    Note(absl::StrCat("error: job ", ShortId(job.name()), " failed: ", job.state_reason(), ": ",
                      job.state_message(), "\nhint: `seer job logs ", ShortId(job.name()),
                      "` shows what its ranks said"));
  return code;
}

int List(Session& session, const std::vector<std::string>& states, bool all) {
  const auto stub = Stub(session);
  if (!stub.ok()) return Fail(stub.status());
  v1::ListJobsRequest request;
  request.set_page_size(1000);
  for (const std::string& text : states) {
    v1::JobState state;
    if (!v1::JobState_Parse(absl::StrCat("JOB_STATE_", absl::AsciiStrToUpper(text)), &state))
      return Fail(Error(absl::StatusCode::kInvalidArgument, reason::kOutOfRange,
                        absl::StrCat("no state '", text, "'"))
                      .Hint("queued, starting, running, pausing, paused, restarting, succeeded, "
                            "failed, cancelled"));
    request.add_states(state);
  }
  std::vector<v1::Job> jobs;
  while (true) {
    v1::ListJobsResponse response;
    const absl::Status status =
        CallWithRetry({}, "the coordinator", [&](grpc::ClientContext& context) {
          return FromGrpc((*stub)->ListJobs(&context, request, &response));
        });
    if (!status.ok()) return Fail(status);
    jobs.insert(jobs.end(), response.jobs().begin(), response.jobs().end());
    if (response.next_page_token().empty()) break;
    request.set_page_token(response.next_page_token());
  }
  std::vector<const Message*> items;
  for (const v1::Job& job : jobs) items.push_back(&job);
  PrintList(session.form, items, JobColumns());
  return kExitOk;
}

// The one job that `text` means: an id, a name, or the beginning of an id.
absl::StatusOr<std::string> Resolve(v1::Jobs::Stub& stub, const std::string& text) {
  v1::GetJobRequest request;
  request.set_name(absl::StartsWith(text, "job_") ? absl::StrCat("jobs/", text) : text);
  v1::Job job;
  const absl::Status status = CallWithRetry(
      {}, "the coordinator",
      [&](grpc::ClientContext& context) { return FromGrpc(stub.GetJob(&context, request, &job)); });
  if (status.ok()) return job.name();
  if (status.code() != absl::StatusCode::kNotFound) return status;
  v1::ListJobsRequest list;
  list.set_page_size(1000);
  v1::ListJobsResponse response;
  SEER_RETURN_IF_ERROR(CallWithRetry({}, "the coordinator", [&](grpc::ClientContext& context) {
    return FromGrpc(stub.ListJobs(&context, list, &response));
  }));
  std::vector<std::string> matches;
  for (const v1::Job& candidate : response.jobs()) {
    const std::string id = ShortId(candidate.name());
    if (absl::StartsWith(id, text) || absl::StartsWith(id, absl::StrCat("job_", text)))
      matches.push_back(candidate.name());
  }
  if (matches.size() == 1) return matches[0];
  return status;
}

// Runs `body` with the job's full name.
int WithJob(Session& session, const std::string& text,
            const std::function<int(v1::Jobs::Stub&, const std::string&)>& body,
            int not_found = kExitError) {
  const auto stub = Stub(session);
  if (!stub.ok()) return Fail(stub.status());
  const auto name = Resolve(**stub, text);
  if (name.ok()) return body(**stub, *name);
  const int code = Fail(name.status());
  return name.status().code() == absl::StatusCode::kNotFound ? not_found : code;
}

int Logs(Session& session, v1::Jobs::Stub& stub, const std::string& name, bool follow, int tail) {
  v1::ReadLogsRequest request;
  request.set_name(name);
  request.set_follow(follow);
  request.set_tail(tail);
  grpc::ClientContext context;
  Interrupt::Scope scope(*session.interrupt, context);
  auto stream = stub.ReadLogs(&context, request);
  v1::LogLine line;
  while (stream->Read(&line))
    std::cout << absl::StrFormat("%d/%d %s\n", line.attempt(), line.rank(), line.text())
              << std::flush;
  const absl::Status status = FromGrpc(stream->Finish());
  if (session.interrupt->caught()) return kExitInterrupted;
  return status.ok() ? kExitOk : Fail(status);
}

int Events(Session& session, v1::Jobs::Stub& stub, const std::string& name) {
  v1::ListEventsRequest request;
  request.set_name(name);
  std::vector<v1::Event> events;
  while (true) {
    v1::ListEventsResponse response;
    const absl::Status status =
        CallWithRetry({}, "the coordinator", [&](grpc::ClientContext& context) {
          return FromGrpc(stub.ListEvents(&context, request, &response));
        });
    if (!status.ok()) return Fail(status);
    if (response.events().empty()) break;
    events.insert(events.end(), response.events().begin(), response.events().end());
    request.set_after_number(events.back().number());
  }
  const auto as = [](const Message& m) -> const v1::Event& {
    return static_cast<const v1::Event&>(m);
  };
  std::vector<const Message*> items;
  for (const v1::Event& event : events) items.push_back(&event);
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

template <typename Request>
void AddVerb(CLI::App& noun, Session& session, const char* verb, const char* help,
             grpc::Status (v1::Jobs::Stub::*call)(grpc::ClientContext*, const Request&, v1::Job*)) {
  auto name = std::make_shared<std::string>();
  CLI::App* command = noun.add_subcommand(verb, help);
  command->add_option("job", *name, "Id, its beginning, or name of the job")->required();
  command->footer(absl::StrCat("Example:\n  seer job ", verb, " job_ab12cd34"));
  command->callback([&session, name, call] {
    session.exit_code = WithJob(session, *name, [&](v1::Jobs::Stub& stub, const std::string& full) {
      Request request;
      request.set_name(full);
      request.set_request_id(NewRequestId());
      v1::Job job;
      const absl::Status status =
          CallWithRetry({}, "the coordinator", [&](grpc::ClientContext& context) {
            return FromGrpc((stub.*call)(&context, request, &job));
          });
      if (!status.ok()) return Fail(status);
      PrintOne(
          session.form, job,
          {{"Job", ShortId(job.name())}, {"State", State(job)}, {"Message", job.state_message()}});
      return kExitOk;
    });
  });
}

void AddSubmit(CLI::App& parent, Session& session) {
  struct Options {
    SpecOptions spec;
    FollowOptions follow;
    bool dry_run = false;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command = parent.add_subcommand("submit", "Submit a job");
  AddSpecOptions(*command, options->spec);
  AddFollowOptions(*command, options->follow);
  command->add_flag("--dry-run", options->dry_run,
                    "Check the job and print it with all defaults; submit nothing");
  command->footer(
      "Examples:\n  seer job submit recipes/digits-200mf.yaml --follow\n  seer job submit job.yaml "
      "--set optim.lr=0.3 --set distributed.ranks=4\n  seer job submit - --wait --timeout 2h < "
      "job.yaml");
  command->callback([&session, options] {
    session.exit_code = Submit(session, options->spec, options->follow, options->dry_run);
  });
}

void AddList(CLI::App& parent, Session& session, const char* verb) {
  auto states = std::make_shared<std::vector<std::string>>();
  CLI::App* command = parent.add_subcommand(verb, "List jobs, the newest first");
  command->add_option("--state", *states, "Only jobs of this state, may be repeated");
  command->footer(absl::StrCat("Examples:\n  seer ", verb == std::string("ps") ? "ps" : "job list",
                               "\n  seer job list --state running -o json"));
  command->callback([&session, states] { session.exit_code = List(session, *states, true); });
}

void AddLogs(CLI::App& parent, Session& session) {
  struct Options {
    std::string job;
    bool follow = false;
    int tail = 0;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command =
      parent.add_subcommand("logs", "Print what the job's ranks wrote, as ATTEMPT/RANK LINE");
  command->add_option("job", options->job, "Id, its beginning, or name of the job")->required();
  command->add_flag("-f,--follow", options->follow, "Go on until the job ends");
  command->add_option("--tail", options->tail, "Only the last N lines")
      ->check(CLI::NonNegativeNumber);
  command->footer("Example:\n  seer job logs -f job_ab12cd34");
  command->callback([&session, options] {
    session.exit_code =
        WithJob(session, options->job, [&](v1::Jobs::Stub& stub, const std::string& name) {
          return Logs(session, stub, name, options->follow, options->tail);
        });
  });
}

}  // namespace

void AddJobCommands(CLI::App& app, Session& session) {
  CLI::App* noun = app.add_subcommand("job", "Submit, follow and steer jobs");
  noun->require_subcommand(1);
  AddSubmit(*noun, session);
  AddList(*noun, session, "list");
  AddLogs(*noun, session);
  auto plan = std::make_shared<SpecOptions>();
  CLI::App* planning = noun->add_subcommand(
      "plan", "Say what a job would be: parameters, work, memory, steps. Needs no cluster");
  AddSpecOptions(*planning, *plan);
  planning->footer(
      "Example:\n  seer job plan recipes/digits-200mf.yaml --set model.trunk.preset=regnety_128gf");
  planning->callback([&session, plan] {
    const auto spec = ReadSpec(*plan);
    if (!spec.ok()) {
      session.exit_code = Fail(spec.status());
      return;
    }
    const auto lines = PlanJob(*spec);
    if (!lines.ok()) {
      session.exit_code = Fail(lines.status());
      return;
    }
    PrintOne(session.form == OutputForm::kTable || session.form == OutputForm::kWide
                 ? OutputForm::kTable
                 : session.form,
             *spec, *lines);
  });
  auto name = std::make_shared<std::string>();
  CLI::App* describe = noun->add_subcommand("describe", "Show a job");
  describe->add_option("job", *name, "Id, its beginning, or name of the job")->required();
  describe->footer(
      "Examples:\n  seer job describe job_ab12cd34\n  seer job describe digits -o yaml");
  describe->callback([&session, name] {
    session.exit_code = WithJob(session, *name, [&](v1::Jobs::Stub& stub, const std::string& full) {
      v1::GetJobRequest request;
      request.set_name(full);
      v1::Job job;
      const absl::Status status =
          CallWithRetry({}, "the coordinator", [&](grpc::ClientContext& context) {
            return FromGrpc(stub.GetJob(&context, request, &job));
          });
      if (!status.ok()) return Fail(status);
      PrintOne(session.form, job, Description(job));
      return kExitOk;
    });
  });
  auto of_events = std::make_shared<std::string>();
  CLI::App* events = noun->add_subcommand("events", "List every change of a job with its reason");
  events->add_option("job", *of_events, "Id, its beginning, or name of the job")->required();
  events->footer("Example:\n  seer job events job_ab12cd34");
  events->callback([&session, of_events] {
    session.exit_code = WithJob(
        session, *of_events,
        [&](v1::Jobs::Stub& stub, const std::string& full) { return Events(session, stub, full); });
  });
  struct WaitOptions {
    std::string job;
    FollowOptions follow;
  };
  auto waiting = std::make_shared<WaitOptions>();
  CLI::App* wait = noun->add_subcommand("wait", "Wait until a job ends; the exit code says how");
  wait->add_option("job", waiting->job, "Id, its beginning, or name of the job")->required();
  AddFollowOptions(*wait, waiting->follow);
  wait->footer("Example:\n  seer job wait --follow --timeout 2h job_ab12cd34");
  wait->callback([&session, waiting] {
    const auto timeout = ReadTimeout(waiting->follow.timeout);
    if (!timeout.ok()) {
      session.exit_code = Fail(timeout.status());
      return;
    }
    session.exit_code = WithJob(
        session, waiting->job,
        [&](v1::Jobs::Stub& stub, const std::string& full) {
          v1::Job job;
          const int code =
              FollowJob(stub, full, waiting->follow.follow, *timeout, *session.interrupt, job);
          if (code == kExitFailed)
            Note(absl::StrCat("error: ", job.state_reason(), ": ", job.state_message()));
          return code;
        },
        kExitNotFound);
  });
  AddVerb<v1::PauseJobRequest>(*noun, session, "pause",
                               "Write a checkpoint and give the devices back",
                               &v1::Jobs::Stub::PauseJob);
  AddVerb<v1::ResumeJobRequest>(*noun, session, "resume", "Put a paused job back into the queue",
                                &v1::Jobs::Stub::ResumeJob);
  AddVerb<v1::CancelJobRequest>(*noun, session, "cancel",
                                "End a job for good; its checkpoints stay",
                                &v1::Jobs::Stub::CancelJob);
  AddSubmit(app, session);
  AddList(app, session, "ps");
  AddLogs(app, session);
}

}  // namespace seer::client
