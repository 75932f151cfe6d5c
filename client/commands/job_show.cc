// seer job list, describe and logs; the shortcuts ps and logs.
#include <grpcpp/grpcpp.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <iostream>
#include <map>
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

struct ListOptions {
  std::vector<std::string> states, labels;
  std::string queue;
  int limit = 0;  // 0: all
};

absl::StatusOr<v1::JobState> ReadState(const std::string& text) {
  v1::JobState state;
  if (v1::JobState_Parse(absl::StrCat("JOB_STATE_", absl::AsciiStrToUpper(text)), &state))
    return state;
  return Error(absl::StatusCode::kInvalidArgument, reason::kOutOfRange,
               absl::StrCat("no state '", text, "'"))
      .Hint("queued, starting, running, pausing, paused, restarting, succeeded, failed, cancelled");
}

absl::StatusOr<std::map<std::string, std::string>> ReadLabels(
    const std::vector<std::string>& texts) {
  std::map<std::string, std::string> labels;
  for (const std::string& text : texts) {
    const size_t equals = text.find('=');
    if (equals == std::string::npos || equals == 0) {
      return Error(absl::StatusCode::kInvalidArgument, reason::kInvalidArgument,
                   absl::StrCat("'", text, "' is no label"))
          .Field("--label")
          .Hint("as KEY=VALUE, team=vision");
    }
    labels[text.substr(0, equals)] = text.substr(equals + 1);
  }
  return labels;
}

bool HasLabels(const v1::Job& job, const std::map<std::string, std::string>& labels) {
  const auto& has = job.spec().metadata().labels();
  return std::all_of(labels.begin(), labels.end(), [&](const auto& label) {
    const auto it = has.find(label.first);
    return it != has.end() && it->second == label.second;
  });
}

// The call knows states alone: queue and labels are looked at here, page by page, until there are
// enough.
absl::Status List(Session& session, const ListOptions& options) {
  v1::ListJobsRequest request;
  for (const std::string& text : options.states) {
    SEER_ASSIGN_OR_RETURN(const v1::JobState state, ReadState(text));
    request.add_states(state);
  }
  SEER_ASSIGN_OR_RETURN(const auto labels, ReadLabels(options.labels));
  const bool chosen_here = !options.queue.empty() || !labels.empty();
  const size_t limit = options.limit == 0 ? SIZE_MAX : static_cast<size_t>(options.limit);
  request.set_page_size(chosen_here ? 1000 : static_cast<int>(std::min<size_t>(limit, 1000)));
  SEER_ASSIGN_OR_RETURN(const auto channel, session.Coordinator());
  const auto stub = v1::Jobs::NewStub(channel);
  const auto keep = [&](const v1::Job& job) {
    return (options.queue.empty() || job.spec().scheduling().queue() == options.queue) &&
           HasLabels(job, labels);
  };
  SEER_ASSIGN_OR_RETURN(
      const auto jobs,
      FetchPages<v1::Job>(session, "the coordinator", *stub, &v1::Jobs::Stub::ListJobs, request,
                          &v1::ListJobsResponse::jobs, limit, keep));
  PrintList(session.form, Pointers(jobs), JobColumns());
  return absl::OkStatus();
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

}  // namespace

absl::StatusOr<std::vector<v1::Job>> FetchJobs(const Session& session, v1::Jobs::Stub& stub,
                                               const std::vector<v1::JobState>& states) {
  v1::ListJobsRequest request;
  request.set_page_size(1000);
  for (const v1::JobState state : states) request.add_states(state);
  return FetchPages<v1::Job>(session, "the coordinator", stub, &v1::Jobs::Stub::ListJobs, request,
                             &v1::ListJobsResponse::jobs);
}

void AddList(CLI::App& parent, Session& session, const char* verb) {
  auto options = std::make_shared<ListOptions>();
  CLI::App* command = parent.add_subcommand(verb, "List jobs, the newest first");
  command->add_option("--state", options->states, "Only jobs of this state, may be repeated");
  command->add_option("--queue", options->queue, "Only jobs of this queue");
  command->add_option("-l,--label", options->labels,
                      "KEY=VALUE: only jobs with this label; of several, with all");
  command->add_option("-n,--limit", options->limit, "At most so many")->check(AtLeast(1));
  const std::string said = absl::StrCat("  seer ", verb == std::string("ps") ? "ps" : "job list");
  command->footer(absl::StrCat("Examples:\n", said, "\n", said, " --state running -o json\n", said,
                               " --queue vision --label team=vision --limit 20"));
  command->callback([&session, options] { session.exit_code = ExitCode(List(session, *options)); });
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
