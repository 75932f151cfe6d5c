// seer job submit; the shortcut submit.
#include <grpcpp/grpcpp.h>

#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>

#include "absl/strings/str_cat.h"
#include "client/commands/checkpoint_name.h"
#include "client/commands/job.h"
#include "client/commands/spec_file.h"
#include "client/follow.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/rpc/status_grpc.h"
#include "common/spec/yaml.h"

namespace seer::client {
namespace {

int Submit(Session& session, const SpecOptions& spec_options, const std::string& from,
           const FollowOptions& follow, bool dry_run) {
  auto spec = ReadSpec(spec_options);
  if (!spec.ok()) return Fail(spec.status());
  if (!from.empty()) spec->mutable_checkpoint()->set_start_from(CheckpointName(from));
  const auto timeout = ReadTimeout(follow.timeout);
  if (!timeout.ok()) return Fail(timeout.status());
  if (dry_run) {
    std::cout << FormatJobSpec(*spec);
    return kExitOk;
  }
  const auto channel = session.Coordinator();
  if (!channel.ok()) return Fail(channel.status());
  const auto stub = v1::Jobs::NewStub(*channel);
  v1::CreateJobRequest request;
  *request.mutable_spec() = *spec;
  request.set_request_id(NewRequestId());  // the same for every retry
  v1::Job job;
  const absl::Status made = session.Call("the coordinator", [&](grpc::ClientContext& context) {
    return FromGrpc(stub->CreateJob(&context, request, &job));
  });
  if (absl::IsCancelled(made) && session.interrupt->caught()) {
    Note("interrupted: the job may have been submitted; `seer job list` shows it if so");
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
  const int code = FollowJob(*stub, job.name(), follow.follow, *timeout, *session.interrupt, job);
  if (code == kExitFailed)
    Note(absl::StrCat("error: job ", ShortId(job.name()), " failed: ", job.state_reason(), ": ",
                      job.state_message(), "\nhint: `seer job logs ", ShortId(job.name()),
                      "` shows what its ranks said"));
  return code;
}

}  // namespace

void AddSubmit(CLI::App& parent, Session& session) {
  struct Options {
    SpecOptions spec;
    std::string from;
    FollowOptions follow;
    bool dry_run = false;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command = parent.add_subcommand("submit", "Submit a job");
  AddSpecOptions(*command, options->spec);
  command->add_option("--from", options->from,
                      "Start with the weights and optimiser state of this checkpoint, at its step: "
                      "jobs/JOB/checkpoints/STEP, or JOB/STEP");
  AddFollowOptions(*command, options->follow);
  command->add_flag("--dry-run", options->dry_run,
                    "Check the job and print it with all defaults; submit nothing");
  command->footer(
      "Examples:\n  seer submit recipes/digits-200mf.yaml --follow\n  seer job submit job.yaml "
      "--set optim.lr=0.3 --set distributed.ranks=4\n  seer job submit - --wait --timeout 2h < "
      "job.yaml\n  seer submit job.yaml --from job_ab12cd34/420");
  command->callback([&session, options] {
    session.exit_code =
        Submit(session, options->spec, options->from, options->follow, options->dry_run);
  });
}

}  // namespace seer::client
