// seer eval: knn.
#include <grpcpp/grpcpp.h>

#include <CLI/CLI.hpp>
#include <memory>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "client/cli.h"
#include "client/exit_code.h"
#include "client/follow.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/flags/number.h"
#include "common/rpc/status_grpc.h"
#include "common/spec/defaults.h"
#include "common/spec/validate.h"
#include "seer/v1/jobs.grpc.pb.h"

namespace seer::client {
namespace {

struct KnnOptions {
  std::string job, train_pool, test_pool;
  int64_t step = 0;
  bool random = false;
  std::string weights;
  std::vector<int> k;
  int image_size = 0;
  bool no_wait = false;
};

absl::StatusOr<v1::Job> GetJob(const Session& session, v1::Jobs::Stub& stub,
                               const std::string& name) {
  v1::GetJobRequest request;
  request.set_name(absl::StartsWith(name, "job_") ? absl::StrCat("jobs/", name) : name);
  v1::Job job;
  SEER_RETURN_IF_ERROR(session.Call("the coordinator", [&](grpc::ClientContext& context) {
    return FromGrpc(stub.GetJob(&context, request, &job));
  }));
  return job;
}

// The evaluation takes model, seed, photometry, precision and retries from the job whose trunk it
// is about.
absl::StatusOr<v1::JobSpec> MakeSpec(const Session& session, v1::Jobs::Stub& stub,
                                     const KnnOptions& options) {
  SEER_ASSIGN_OR_RETURN(const v1::Job trained, GetJob(session, stub, options.job));
  v1::JobSpec spec;
  spec.set_kind(v1::JOB_KIND_EVAL_KNN);
  *spec.mutable_model() = trained.spec().model();
  *spec.mutable_augment() = trained.spec().augment();
  *spec.mutable_precision() = trained.spec().precision();
  *spec.mutable_failure() = trained.spec().failure();
  spec.set_seed(trained.spec().seed());
  spec.mutable_distributed()->set_ranks(1);
  v1::EvalSpec& eval = *spec.mutable_eval();
  eval.set_train_pool(options.train_pool);
  eval.set_test_pool(options.test_pool);
  for (const int k : options.k) eval.add_k(k);
  if (options.image_size > 0) eval.set_image_size(options.image_size);
  if (!options.weights.empty()) {
    spec.mutable_model()->mutable_weights()->Clear();
    spec.mutable_model()->mutable_weights()->set_uri(options.weights);
  } else if (!options.random) {
    const int64_t step = options.step > 0 ? options.step : trained.last_checkpoint_step();
    if (step == 0)
      return Error(absl::StatusCode::kNotFound, reason::kCheckpointNotFound,
                   absl::StrCat("job ", options.job, " has no committed checkpoint"))
          .Hint(
              "--random evaluates the trunk as it was before training, --weights one from a file");
    eval.set_checkpoint(absl::StrCat(trained.name(), "/checkpoints/", step));
  }
  FillDefaults(spec);
  SEER_RETURN_IF_ERROR(ValidateJobSpec(spec));
  return spec;
}

// Where the evaluated trunk's weights come from.
std::string TrunkText(const v1::JobSpec& spec) {
  if (!spec.eval().checkpoint().empty()) return spec.eval().checkpoint();
  return spec.model().has_weights() ? spec.model().weights().uri() : "random";
}

int Knn(Session& session, const KnnOptions& options) {
  const auto channel = session.Coordinator();
  if (!channel.ok()) return Fail(channel.status());
  const auto stub = v1::Jobs::NewStub(*channel);
  const auto spec = MakeSpec(session, *stub, options);
  if (!spec.ok()) return Fail(spec.status());
  v1::CreateJobRequest request;
  *request.mutable_spec() = *spec;
  request.set_request_id(NewRequestId());
  v1::Job job;
  const absl::Status made = session.Call("the coordinator", [&](grpc::ClientContext& context) {
    return FromGrpc(stub->CreateJob(&context, request, &job));
  });
  if (absl::IsCancelled(made) && session.interrupt->caught()) {
    Note("interrupted: the evaluation may have been submitted; `seer job list` shows it if so");
    return kExitInterrupted;
  }
  if (!made.ok()) return Fail(made);
  std::vector<std::pair<std::string, std::string>> lines = {
      {"Evaluation", std::string(absl::StripPrefix(job.name(), "jobs/"))}};
  if (!options.no_wait) {
    const int code = FollowJob(*stub, job.name(), /*show=*/false, absl::InfiniteDuration(),
                               *session.interrupt, job);
    if (code == kExitFailed)
      Note(absl::StrCat("error: ", job.state_reason(), ": ", job.state_message()));
    if (code != kExitOk) return code;
    lines.emplace_back("Trunk", TrunkText(*spec));
    lines.emplace_back("Images", absl::StrCat(job.eval_result().train_images(), " vote, ",
                                              job.eval_result().test_images(), " held out"));
    for (const auto& knn : job.eval_result().knn())
      lines.emplace_back(absl::StrCat("k-NN, k=", knn.k()),
                         absl::StrFormat("top-1 %.2f%%, top-5 %.2f%%", knn.top1_ratio() * 100,
                                         knn.top5_ratio() * 100));
  }
  PrintOne(session.form, job, lines);
  return kExitOk;
}

}  // namespace

void AddEvalCommands(CLI::App& app, Session& session) {
  CLI::App* noun = app.add_subcommand("eval", "Evaluate trained trunks");
  noun->require_subcommand(1);
  noun->footer("Example:\n  seer eval knn digits --train-pool digits --test-pool digits-test");
  auto options = std::make_shared<KnnOptions>();
  CLI::App* knn = noun->add_subcommand(
      "knn", "k-nearest-neighbour accuracy of a job's trunk on held-out images");
  knn->add_option("job", options->job, "Id or name of the pre-training job")->required();
  knn->add_option("--train-pool", options->train_pool, "Labelled pool whose images vote")
      ->required();
  knn->add_option("--test-pool", options->test_pool, "Labelled pool of held-out images")
      ->required();
  knn->add_option("--step", options->step, "Checkpoint of this step; default: the newest")
      ->check(AtLeast(1));
  CLI::Option* random =
      knn->add_flag("--random", options->random, "The same trunk before training: the baseline");
  knn->add_option("--weights", options->weights,
                  "The same trunk with the weights of a safetensors file (absolute path, readable "
                  "by the workers)")
      ->excludes(random)
      ->type_name("FILE");
  knn->add_option("--k", options->k, "Neighbours, may be repeated; default 20")->check(AtLeast(1));
  knn->add_option("--image-size", options->image_size, "Pixels; default: the job's first crop")
      ->check(AtLeast(1));
  knn->add_flag("--no-wait", options->no_wait, "Submit the evaluation and return");
  knn->footer(
      "Examples:\n  seer eval knn job_ab12cd34 --train-pool digits --test-pool digits-test\n  seer "
      "eval knn digits --random --train-pool digits --test-pool digits-test -o json");
  knn->callback([&session, options] { session.exit_code = Knn(session, *options); });
}

}  // namespace seer::client
