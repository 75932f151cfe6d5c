// seer job: its verbs stand in job_submit.cc, job_show.cc, job_diagnose.cc, job_profile.cc,
// job_set.cc, job_steer.cc and job_again.cc; the shortcuts submit, ps, logs and top are the same
// commands.
#include "client/commands/job.h"

#include <grpcpp/grpcpp.h>

#include <CLI/CLI.hpp>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "client/commands/job_again.h"
#include "common/base/duration.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/rpc/status_grpc.h"

namespace seer::client {
namespace {

// The one job that `text` means: an id, a name, or the beginning of an id.
absl::StatusOr<std::string> Resolve(const Session& session, v1::Jobs::Stub& stub,
                                    const std::string& text) {
  v1::GetJobRequest request;
  request.set_name(absl::StartsWith(text, "job_") ? absl::StrCat("jobs/", text) : text);
  v1::Job job;
  const absl::Status status = session.Call("the coordinator", [&](grpc::ClientContext& context) {
    return FromGrpc(stub.GetJob(&context, request, &job));
  });
  if (status.ok()) return job.name();
  if (status.code() != absl::StatusCode::kNotFound) return status;
  v1::ListJobsRequest list;
  list.set_page_size(1000);
  v1::ListJobsResponse response;
  SEER_RETURN_IF_ERROR(session.Call("the coordinator", [&](grpc::ClientContext& context) {
    return FromGrpc(stub.ListJobs(&context, list, &response));
  }));
  std::vector<std::string> matches;
  for (const v1::Job& candidate : response.jobs()) {
    const std::string id = ShortId(candidate.name());
    if (absl::StartsWith(id, text) || absl::StartsWith(id, absl::StrCat("job_", text)))
      matches.push_back(candidate.name());
  }
  if (matches.size() == 1) return matches[0];
  if (matches.empty() || text.empty()) return status;
  return Error(absl::StatusCode::kInvalidArgument, reason::kInvalidArgument,
               absl::StrCat(matches.size(), " jobs begin with '", text, "'"))
      .Hint(absl::StrCat("write more of it: ", ShortId(matches[0]), ", ", ShortId(matches[1]),
                         matches.size() > 2 ? ", ..." : ""));
}

}  // namespace

std::string ShortId(const std::string& name) {
  return std::string(absl::StripPrefix(name, "jobs/"));
}

std::string StateOf(const v1::Job& job) {
  return EnumName(v1::JobState_Name(job.state()), "JOB_STATE_");
}

std::string StepsOf(const v1::Job& job) {
  if (job.spec().kind() == v1::JOB_KIND_EVAL_KNN) return "-";
  return absl::StrCat(job.progress().step(), "/", job.spec().optim().steps());
}

int WithJob(Session& session, const std::string& text,
            const std::function<int(v1::Jobs::Stub&, const std::string&)>& body, int not_found) {
  const auto channel = session.Coordinator();
  if (!channel.ok()) return Fail(channel.status());
  const auto stub = v1::Jobs::NewStub(*channel);
  const auto name = Resolve(session, *stub, text);
  if (name.ok()) return body(*stub, *name);
  const int code = Fail(name.status());
  return name.status().code() == absl::StatusCode::kNotFound ? not_found : code;
}

void AddJobArgument(CLI::App& command, std::string& text) {
  command.add_option("job", text, "Id, its beginning, or name of the job")->required();
}

void AddFollowOptions(CLI::App& command, FollowOptions& options) {
  command.add_flag("--follow,-f", options.follow,
                   "Show progress until the job ends; Ctrl-C detaches");
  command.add_flag("--wait", options.wait, "Wait until the job ends, quietly");
  command.add_option("--timeout", options.timeout, "Wait at most so long: 90s, 5m, 36h");
}

absl::StatusOr<absl::Duration> ReadTimeout(const std::string& text, bool waits) {
  if (text.empty()) return absl::InfiniteDuration();
  if (!waits) {
    return Error(absl::StatusCode::kInvalidArgument, reason::kInvalidArgument,
                 "--timeout, but nothing is waited for")
        .Field("--timeout")
        .Hint("give --wait or --follow with it, or leave it out");
  }
  return ReadDurationFlag("--timeout", text);
}

void AddJobCommands(CLI::App& app, Session& session) {
  CLI::App* noun = app.add_subcommand("job", "Submit, follow and steer jobs");
  noun->require_subcommand(1);
  noun->footer("Example:\n  seer job submit recipes/digits-200mf.yaml --follow");
  AddSubmit(*noun, session);
  AddPlan(*noun, session);
  AddList(*noun, session, "list");
  AddDescribe(*noun, session);
  AddDiagnose(*noun, session);
  AddEvents(*noun, session);
  AddLogs(*noun, session);
  AddProfile(*noun, session);
  AddSet(*noun, session);
  AddSteering(*noun, session);
  AddAgain(*noun, session);
  AddSubmit(app, session);
  AddList(app, session, "ps");
  AddLogs(app, session);
  AddTop(app, session);
}

}  // namespace seer::client
