// seer job retry, diff and export-config.
#include "client/commands/job_again.h"

#include <grpcpp/grpcpp.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "client/commands/job.h"
#include "client/commands/job_submit.h"
#include "client/commands/spec_file.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/rpc/status_grpc.h"
#include "common/spec/defaults.h"
#include "common/spec/difference.h"
#include "common/spec/minimal.h"
#include "common/spec/secrets.h"
#include "common/spec/validate_chain.h"
#include "common/spec/yaml.h"

namespace seer::client {
namespace {

absl::StatusOr<v1::Job> Get(const Session& session, v1::Jobs::Stub& stub, const std::string& name) {
  v1::GetJobRequest request;
  request.set_name(name);
  v1::Job job;
  SEER_RETURN_IF_ERROR(session.Call("the coordinator", [&](grpc::ClientContext& context) {
    return FromGrpc(stub.GetJob(&context, request, &job));
  }));
  return job;
}

struct RetryOptions {
  std::string job;
  bool from_start = false;
  std::vector<std::string> sets;
  FollowOptions follow;
};

// What it waited for is over, but that an evaluation which has not begun still needs a checkpoint.
absl::StatusOr<v1::JobSpec> Again(const v1::Job& job, const RetryOptions& options) {
  const bool ended = job.state() == v1::JOB_STATE_SUCCEEDED ||
                     job.state() == v1::JOB_STATE_FAILED || job.state() == v1::JOB_STATE_CANCELLED;
  if (!ended) {
    return Error(absl::StatusCode::kFailedPrecondition, reason::kWrongJobState,
                 absl::StrCat("job ", ShortId(job.name()), " is ", StateOf(job),
                              " and cannot be retried"))
        .Hint("`seer job resume` goes on with a paused one, `seer job cancel` ends one");
  }
  v1::JobSpec spec = job.spec();
  if (!IsNewestOf(spec.eval().checkpoint())) spec.clear_chain();
  if (!options.from_start && job.last_checkpoint_step() > 0)
    spec.mutable_checkpoint()->set_start_from(
        absl::StrCat(job.name(), "/checkpoints/", job.last_checkpoint_step()));
  for (const std::string& assignment : options.sets)
    SEER_RETURN_IF_ERROR(ApplySet(spec, assignment));
  return spec;
}

int Retry(Session& session, v1::Jobs::Stub& stub, const std::string& name,
          const RetryOptions& options) {
  const auto job = Get(session, stub, name);
  if (!job.ok()) return Fail(job.status());
  auto spec = Again(*job, options);
  if (!spec.ok()) return Fail(spec.status());
  return SubmitSpecs(session, {*std::move(spec)}, options.follow);
}

// Of a file, or of a job; an exit code.
int ReadSide(Session& session, const std::string& text, v1::JobSpec& out) {
  std::error_code error;
  if (std::filesystem::is_regular_file(text, error)) {
    SpecOptions options;
    options.file = text;
    const auto spec = ReadSpec(options);
    if (!spec.ok()) return Fail(spec.status());
    out = *spec;
    return kExitOk;
  }
  return WithJob(session, text, [&](v1::Jobs::Stub& stub, const std::string& full) {
    const auto job = Get(session, stub, full);
    if (!job.ok()) return Fail(job.status());
    out = job->spec();
    FillDefaults(out);
    return kExitOk;
  });
}

int Diff(Session& session, const std::string& a, const std::string& b) {
  v1::JobSpec from, to;
  if (const int code = ReadSide(session, a, from); code != kExitOk) return code;
  if (const int code = ReadSide(session, b, to); code != kExitOk) return code;
  MaskSecrets(from);  // of a file
  MaskSecrets(to);
  nlohmann::json out = nlohmann::json::array();
  for (const SpecDifference& one : DifferencesOf(from, to)) {
    out.push_back({{"path", one.path}, {"from", one.from}, {"to", one.to}});
    if (session.form == OutputForm::kTable || session.form == OutputForm::kWide)
      std::cout << one.path << ": " << one.from << " -> " << one.to << "\n";
  }
  if (session.form == OutputForm::kYaml) {
    PrintYaml(out.dump());
  } else if (session.form == OutputForm::kJson || session.form == OutputForm::kJsonl) {
    std::cout << out.dump(session.form == OutputForm::kJson ? 1 : -1) << "\n";
  } else if (out.empty()) {
    Note("they do not differ");
  }
  return kExitOk;
}

void AddRetry(CLI::App& parent, Session& session) {
  auto options = std::make_shared<RetryOptions>();
  CLI::App* command = parent.add_subcommand(
      "retry", "Submit the job of one that has ended again, from its newest checkpoint");
  AddJobArgument(*command, options->job);
  command->add_flag("--from-start", options->from_start, "From where that one began");
  command->add_option("--set", options->sets, "KEY=VALUE over its spec, may be repeated")
      ->take_all()
      ->allow_extra_args(false);
  AddFollowOptions(*command, options->follow);
  command->footer(
      "Examples:\n  seer job retry job_ab12cd34 --follow\n  seer job retry digits --from-start "
      "--set "
      "optim.lr=0.3");
  command->callback([&session, options] {
    session.exit_code =
        WithJob(session, options->job, [&](v1::Jobs::Stub& stub, const std::string& full) {
          return Retry(session, stub, full, *options);
        });
  });
}

void AddDiff(CLI::App& parent, Session& session) {
  struct Options {
    std::string a, b;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command = parent.add_subcommand("diff", "Show where two jobs' specs differ");
  command->add_option("a", options->a, "A job, by id or name, or a YAML file")->required();
  command->add_option("b", options->b, "The other one")->required();
  command->footer(
      "Examples:\n  seer job diff job_ab12cd34 job_00ff00ff\n  seer job diff digits "
      "recipes/digits-200mf.yaml");
  command->callback(
      [&session, options] { session.exit_code = Diff(session, options->a, options->b); });
}

void AddExportConfig(CLI::App& parent, Session& session) {
  struct Options {
    std::string job;
    bool minimal = false;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command =
      parent.add_subcommand("export-config", "Print a job's spec as YAML that can be submitted");
  AddJobArgument(*command, options->job);
  command->add_flag("--minimal", options->minimal, "Without what is the default");
  command->footer("Example:\n  seer job export-config digits --minimal > job.yaml");
  command->callback([&session, options] {
    session.exit_code =
        WithJob(session, options->job, [&](v1::Jobs::Stub& stub, const std::string& full) {
          const auto job = Get(session, stub, full);
          if (!job.ok()) return Fail(job.status());
          for (const v1::WebhookSpec& webhook : job->spec().alerts().webhooks()) {
            if (!absl::StrContains(webhook.url(), "***")) continue;
            Note(
                "secrets in URLs of webhooks are masked (***): a job of the same name and queue "
                "keeps them, for another one write them in");
            break;
          }
          std::cout << FormatJobSpec(options->minimal ? MinimalSpec(job->spec()) : job->spec());
          return kExitOk;
        });
  });
}

}  // namespace

void AddAgain(CLI::App& parent, Session& session) {
  AddRetry(parent, session);
  AddDiff(parent, session);
  AddExportConfig(parent, session);
}

}  // namespace seer::client
