// seer job submit; the shortcut submit.
#include "client/commands/job_submit.h"

#include <grpcpp/grpcpp.h>

#include <CLI/CLI.hpp>
#include <iostream>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "client/commands/checkpoint_name.h"
#include "client/commands/job.h"
#include "client/commands/spec_file.h"
#include "client/follow.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/rpc/status_grpc.h"
#include "common/spec/defaults.h"
#include "common/spec/yaml.h"

namespace seer::client {
namespace {

// What another job of the file is called becomes the job that was just made of it.
void TakeIds(const std::map<std::string, std::string>& made, v1::JobSpec& spec) {
  const auto take = [&](std::string& name) {
    const auto it = made.find(std::string(absl::StripPrefix(name, "jobs/")));
    if (it != made.end()) name = it->second;
  };
  for (int i = 0; i < spec.chain().after_size(); ++i)
    take(*spec.mutable_chain()->mutable_after(i)->mutable_job());
  if (!spec.eval().checkpoint().empty()) take(*spec.mutable_eval()->mutable_checkpoint());
}

absl::StatusOr<v1::Job> SubmitOne(const Session& session, v1::Jobs::Stub& stub,
                                  const v1::JobSpec& spec) {
  v1::CreateJobRequest request;
  *request.mutable_spec() = spec;
  request.set_request_id(NewRequestId());  // the same for every retry
  v1::Job job;
  SEER_RETURN_IF_ERROR(session.Call("the coordinator", [&](grpc::ClientContext& context) {
    return FromGrpc(stub.CreateJob(&context, request, &job));
  }));
  return job;
}

// All of them, in their order. Those that were made before one is refused stay.
absl::Status SubmitAll(const Session& session, v1::Jobs::Stub& stub,
                       const std::vector<v1::JobSpec>& specs, std::vector<v1::Job>& jobs) {
  std::map<std::string, std::string> made;
  for (v1::JobSpec spec : specs) {
    TakeIds(made, spec);
    SEER_ASSIGN_OR_RETURN(v1::Job job, SubmitOne(session, stub, spec));
    if (!spec.metadata().name().empty()) made[spec.metadata().name()] = job.name();
    jobs.push_back(std::move(job));
  }
  return absl::OkStatus();
}

void PrintMade(OutputForm form, const std::vector<v1::Job>& jobs) {
  if (form == OutputForm::kTable || form == OutputForm::kWide) {
    for (const v1::Job& job : jobs) std::cout << ShortId(job.name()) << std::endl;
  } else if (jobs.size() == 1) {
    PrintOne(form, jobs[0], {});
  } else {
    std::vector<const google::protobuf::Message*> items;
    for (const v1::Job& job : jobs) items.push_back(&job);
    PrintList(form, items, {});
  }
}

// YAML that can be submitted; as JSON one object, or of several jobs an array.
void PrintSpecs(OutputForm form, std::vector<v1::JobSpec> specs) {
  std::vector<const google::protobuf::Message*> items;
  for (size_t i = 0; i < specs.size(); ++i) {
    v1::JobSpec& spec = specs[i];
    FillDefaults(spec);
    items.push_back(&spec);
    if (form == OutputForm::kName) {
      std::cout << spec.metadata().name() << "\n";
    } else if (form != OutputForm::kJson && form != OutputForm::kJsonl) {
      std::cout << (i > 0 ? "---\n" : "") << FormatJobSpec(spec);
    }
  }
  if (form != OutputForm::kJson && form != OutputForm::kJsonl) return;
  if (specs.size() == 1) return PrintOne(form, specs[0], {});
  PrintList(form, items, {});
}

int Submit(Session& session, const SpecOptions& spec_options, const std::string& from,
           const FollowOptions& follow, bool dry_run) {
  auto specs = ReadGivenSpecs(spec_options);
  if (!specs.ok()) return Fail(specs.status());
  if (!from.empty() && specs->size() > 1)
    return Fail(Error(absl::StatusCode::kInvalidArgument, reason::kInvalidArgument,
                      absl::StrCat("--from with ", specs->size(), " jobs"))
                    .Hint("write checkpoint.startFrom of the one that is meant into the file"));
  if (!from.empty()) specs->front().mutable_checkpoint()->set_start_from(CheckpointName(from));
  if (dry_run) {
    PrintSpecs(session.form, *specs);
    return kExitOk;
  }
  return SubmitSpecs(session, *specs, follow);
}

}  // namespace

int SubmitSpecs(Session& session, const std::vector<v1::JobSpec>& specs,
                const FollowOptions& follow) {
  const auto timeout = ReadTimeout(follow.timeout, follow.follow || follow.wait);
  if (!timeout.ok()) return Fail(timeout.status());
  const auto channel = session.Coordinator();
  if (!channel.ok()) return Fail(channel.status());
  const auto stub = v1::Jobs::NewStub(*channel);
  std::vector<v1::Job> jobs;
  const absl::Status made = SubmitAll(session, *stub, specs, jobs);
  const bool watched = follow.follow || follow.wait;
  if (!jobs.empty()) PrintMade(watched ? OutputForm::kTable : session.form, jobs);
  if (absl::IsCancelled(made) && session.interrupt->caught()) {
    Note("interrupted: the job may have been submitted; `seer job list` shows it if so");
    return kExitInterrupted;
  }
  if (!made.ok()) {
    if (!jobs.empty())
      Note(absl::StrCat("submitted ", jobs.size(), " of ", specs.size(), " jobs, then:"));
    return Fail(made);
  }
  v1::Job& job = jobs.back();
  if (!watched) {
    if (session.form == OutputForm::kTable || session.form == OutputForm::kWide)
      Note(absl::StrCat("submitted; follow it with `seer job wait --follow ", ShortId(job.name()),
                        "`"));
    return kExitOk;
  }
  const std::string name = job.name();
  const int code = FollowJob(*stub, name, follow.follow, *timeout, *session.interrupt, job);
  if (code == kExitFailed)
    Note(absl::StrCat("error: job ", ShortId(name), " failed: ", job.state_reason(), ": ",
                      job.state_message(), "\nhint: `seer job logs ", ShortId(name),
                      "` shows what its ranks said"));
  return code;
}

void AddSubmit(CLI::App& parent, Session& session) {
  struct Options {
    SpecOptions spec;
    std::string from;
    FollowOptions follow;
    bool dry_run = false;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command =
      parent.add_subcommand("submit", "Submit a job, or the jobs of a file with several");
  AddSpecOptions(*command, options->spec);
  command->add_option("--from", options->from,
                      "Start with the weights and optimiser state of this checkpoint, at its step: "
                      "jobs/JOB/checkpoints/STEP, or JOB/STEP");
  AddFollowOptions(*command, options->follow);
  command->add_flag(
      "--dry-run", options->dry_run,
      "Check the job and print it with all defaults, as YAML or -o json; submit nothing");
  command->footer(
      "Examples:\n  seer submit recipes/digits-200mf.yaml --follow\n  seer job submit job.yaml "
      "--set optim.lr=0.3 --set distributed.ranks=4\n  seer job submit - --wait --timeout 2h < "
      "job.yaml\n  seer submit job.yaml --from job_ab12cd34/420\n  seer job submit "
      "recipes/pretrain-then-eval.yaml --follow");
  command->callback([&session, options] {
    session.exit_code =
        Submit(session, options->spec, options->from, options->follow, options->dry_run);
  });
}

}  // namespace seer::client
