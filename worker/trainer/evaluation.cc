#include <grpcpp/grpcpp.h>

#include <limits>
#include <optional>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/log.h"
#include "common/base/status_macros.h"
#include "common/objectstore/open_store.h"
#include "common/rpc/channel.h"
#include "common/rpc/status_grpc.h"
#include "engine/session/eval_session.h"
#include "worker/trainer/batch_sources.h"
#include "worker/trainer/initial_weights.h"
#include "worker/trainer/spec_to_config.h"
#include "worker/trainer/trainer.h"

namespace seer::worker {
namespace {

// How many images there were; nullopt: stopped.
absl::StatusOr<std::optional<int64_t>> AddPool(const v1::JobSpec& spec,
                                               const internal::v1::Assign& assign,
                                               BatchSources& sources, const std::atomic<bool>& stop,
                                               const std::string& pool, int64_t generation,
                                               engine::EvalSession::Set set,
                                               engine::EvalSession& session) {
  v1::StreamBatchesRequest request;
  request.set_pool(absl::StrCat("pools/", pool));
  request.add_data_plan()->set_generation(generation);
  request.set_end_step(std::numeric_limits<int32_t>::max());
  request.set_world_size(1);
  request.set_global_batch(spec.eval().batch());
  request.set_order(v1::SAMPLE_ORDER_SEQUENTIAL);
  request.set_one_epoch(true);
  auto& crop = *request.add_crops();
  crop.set_views(1);
  crop.set_size(spec.eval().image_size());
  crop.set_center(true);
  request.set_max_bad_ratio(spec.data().max_bad_ratio());
  request.set_job(assign.job());
  const auto stream = sources.Open(request);
  int64_t images = 0;
  while (true) {
    if (stop) return std::optional<int64_t>();
    const auto batch = stream->Next();
    if (batch.status().code() == absl::StatusCode::kOutOfRange) return std::make_optional(images);
    SEER_RETURN_IF_ERROR(batch.status());
    images += static_cast<int64_t>(batch->labels.size());
    SEER_RETURN_IF_ERROR(session.Add(set, *batch));
  }
}

}  // namespace

absl::StatusOr<Ended> RunEvaluation(const v1::JobSpec& spec, const internal::v1::Assign& assign,
                                    const std::atomic<bool>& stop, MetricsRegistry& metrics,
                                    internal::v1::Trainers::StubInterface& coordinator,
                                    const std::shared_ptr<const ClientSecurity>& security) {
  SEER_ASSIGN_OR_RETURN(const engine::TrainConfig config, ToTrainConfig(spec, assign.world_size()));
  const engine::RankConfig rank = ToRankConfig(spec, assign);
  SEER_ASSIGN_OR_RETURN(auto session,
                        engine::EvalSession::Create(config, rank.threads, rank.device));
  if (!assign.eval_checkpoint_uri().empty()) {
    SEER_ASSIGN_OR_RETURN(auto store, OpenStore(assign.storage_uri()));
    SEER_RETURN_IF_ERROR(
        session->LoadTrunk(*store, KeyBelow(assign.eval_checkpoint_uri(), assign.storage_uri())));
  } else if (!config.weights.uri.empty()) {
    SEER_RETURN_IF_ERROR(LoadInitialWeights(config.weights, *session));
  }
  internal::v1::ReportEvalRequest report;
  report.set_attempt_id(assign.attempt_id());
  report.set_job(assign.job());
  using Set = engine::EvalSession::Set;
  // An evaluation's plan: entry 0 is the train pool's generation, entry 1 the test pool's.
  if (assign.data_plan_size() != 2) {
    return Error(
        absl::StatusCode::kInternal, reason::kInternal,
        absl::StrCat("an evaluation with ", assign.data_plan_size(), " data plan entries"));
  }
  SEER_ASSIGN_OR_RETURN(
      const auto sources,
      BatchSources::Create(spec, assign, spec.eval().train_pool(), metrics, security));
  SEER_ASSIGN_OR_RETURN(const auto train_images,
                        AddPool(spec, assign, *sources, stop, spec.eval().train_pool(),
                                assign.data_plan(0).generation(), Set::kTrain, *session));
  if (!train_images) return Ended::kPaused;
  SEER_ASSIGN_OR_RETURN(const auto test_images,
                        AddPool(spec, assign, *sources, stop, spec.eval().test_pool(),
                                assign.data_plan(1).generation(), Set::kHeldOut, *session));
  if (!test_images) return Ended::kPaused;
  report.set_train_images(*train_images);
  report.set_test_images(*test_images);
  engine::KnnConfig knn;
  knn.k.assign(spec.eval().k().begin(), spec.eval().k().end());
  knn.temperature = spec.eval().temperature();
  SEER_ASSIGN_OR_RETURN(const auto results, session->Knn(knn));
  for (const auto& result : results) {
    LogInfo("knn", {{"k", result.k}, {"top1", result.top1_ratio}, {"top5", result.top5_ratio}});
    auto& line = *report.add_knn();
    line.set_k(result.k);
    line.set_top1_ratio(result.top1_ratio);
    line.set_top5_ratio(result.top5_ratio);
  }
  RetryOptions retry;
  retry.attempts = 60;  // minutes: the coordinator may be starting again
  SEER_RETURN_IF_ERROR(CallWithRetry(retry, "the coordinator", [&](grpc::ClientContext& context) {
    internal::v1::ReportEvalResponse response;
    return FromGrpc(coordinator.ReportEval(&context, report, &response));
  }));
  return Ended::kDone;
}

}  // namespace seer::worker
