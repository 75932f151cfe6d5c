// seer job submit and plan; the shortcut submit.
#include <grpcpp/grpcpp.h>

#include <CLI/CLI.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <memory>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "client/commands/job.h"
#include "client/follow.h"
#include "client/plan.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/rpc/status_grpc.h"
#include "common/spec/defaults.h"
#include "common/spec/validate.h"
#include "common/spec/yaml.h"

namespace seer::client {
namespace {

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
      "Examples:\n  seer submit recipes/digits-200mf.yaml --follow\n  seer job submit job.yaml "
      "--set optim.lr=0.3 --set distributed.ranks=4\n  seer job submit - --wait --timeout 2h < "
      "job.yaml");
  command->callback([&session, options] {
    session.exit_code = Submit(session, options->spec, options->follow, options->dry_run);
  });
}

void AddPlan(CLI::App& parent, Session& session) {
  auto plan = std::make_shared<SpecOptions>();
  CLI::App* planning = parent.add_subcommand(
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
}

}  // namespace seer::client
