// seer job set.
#include <grpcpp/grpcpp.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/commands/job.h"
#include "common/base/status_macros.h"
#include "common/rpc/status_grpc.h"
#include "common/spec/yaml.h"

namespace seer::client {
namespace {

struct SetOptions {
  std::string job, etag;
  std::vector<std::string> assignments;
};

// Each path goes into the mask; a value that is left empty stays unset, which means the default.
absl::Status Read(const SetOptions& options, v1::UpdateJobRequest& request) {
  for (const std::string& assignment : options.assignments) {
    const size_t equals = assignment.find('=');
    const bool set = equals == std::string::npos || equals + 1 < assignment.size();
    if (set) SEER_RETURN_IF_ERROR(ApplySet(*request.mutable_job()->mutable_spec(), assignment, ""));
    request.mutable_update_mask()->add_paths(assignment.substr(0, equals));
  }
  return absl::OkStatus();
}

int Set(Session& session, v1::Jobs::Stub& stub, v1::UpdateJobRequest request) {
  v1::Job job;
  const absl::Status status = session.Call("the coordinator", [&](grpc::ClientContext& context) {
    return FromGrpc(stub.UpdateJob(&context, request, &job));
  });
  if (!status.ok()) return Fail(status);
  PrintOne(session.form, job, JobDescription(job));
  return kExitOk;
}

}  // namespace

void AddSet(CLI::App& parent, Session& session) {
  auto options = std::make_shared<SetOptions>();
  CLI::App* command = parent.add_subcommand(
      "set", "Change what may change of a job that waits or runs; what is not named stays");
  AddJobArgument(*command, options->job);
  command
      ->add_option("assignments", options->assignments,
                   "PATH=VALUE, as --set of submit takes it; PATH= sets the default. Labels, "
                   "priority, queue, failure, checkpoint, alerts; chain before the first attempt")
      ->required();
  command->add_option("--etag", options->etag,
                      "Only if it is still as `describe -o json` showed it with this etag");
  command->footer(
      "Examples:\n  seer job set digits scheduling.priority=5 failure.maxRestarts=3\n  seer job "
      "set "
      "job_ab12cd34 metadata.labels.team=vision --etag 17");
  command->callback([&session, options] {
    v1::UpdateJobRequest request;
    if (const absl::Status read = Read(*options, request); !read.ok()) {
      session.exit_code = Fail(read);
      return;
    }
    session.exit_code =
        WithJob(session, options->job, [&](v1::Jobs::Stub& stub, const std::string& full) {
          request.mutable_job()->set_name(full);
          request.mutable_job()->set_etag(options->etag);
          return Set(session, stub, request);
        });
  });
}

}  // namespace seer::client
