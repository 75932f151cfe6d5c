#include "worker/trainer/spec_to_config.h"

#include <algorithm>
#include <optional>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/base/status_macros.h"
#include "common/spec/elastic.h"
#include "common/spec/schedule.h"
#include "common/spec/trunk.h"

namespace seer::worker {

namespace {

std::optional<engine::WeightNames> ToWeightNames(v1::WeightNames names) {
  switch (names) {
    case v1::WEIGHT_NAMES_TORCHVISION:
      return engine::WeightNames::kTorchvision;
    case v1::WEIGHT_NAMES_TIMM:
      return engine::WeightNames::kTimm;
    case v1::WEIGHT_NAMES_HUGGINGFACE:
      return engine::WeightNames::kHuggingFace;
    case v1::WEIGHT_NAMES_VISSL:
      return engine::WeightNames::kVissl;
    case v1::WEIGHT_NAMES_SWAV:
      return engine::WeightNames::kSwav;
    default:
      return std::nullopt;  // AUTO
  }
}

}  // namespace

absl::StatusOr<engine::TrainConfig> ToTrainConfig(const v1::JobSpec& spec, int world_size) {
  engine::TrainConfig c;
  SEER_ASSIGN_OR_RETURN(c.trunk, ToTrunkConfig(spec.model().trunk()));

  const auto& swav = spec.loss().swav();
  c.head.hidden.assign(spec.model().head().hidden().begin(), spec.model().head().hidden().end());
  c.head.output_dim = spec.model().head().output_dim();
  c.head.batch_norm = spec.model().head().batch_norm();
  c.head.prototypes = swav.prototypes();
  c.weights = {spec.model().weights().uri(), ToWeightNames(spec.model().weights().names())};
  c.head.extra_prototypes.assign(swav.extra_prototypes().begin(), swav.extra_prototypes().end());
  c.swav.temperature = swav.temperature();
  c.swav.epsilon = swav.epsilon();
  c.swav.sinkhorn_iterations = swav.sinkhorn_iterations();
  c.swav.sinkhorn_domain = swav.sinkhorn_domain() == v1::SINKHORN_DOMAIN_PLAIN
                               ? engine::SinkhornDomain::kPlain
                               : engine::SinkhornDomain::kLog;
  c.swav.power_law_exponent = swav.power_law_exponent();
  c.swav.hard_code_steps = swav.hard_code_steps();
  c.swav.assign_views = swav.assign_views();
  c.swav.queue_length = swav.queue_length();
  c.swav.queue_start_step = swav.queue_start_step();
  c.swav.freeze_prototypes_steps = swav.freeze_prototypes_steps();

  const auto& optim = spec.optim();
  c.optim.momentum = optim.momentum();
  c.optim.weight_decay = optim.weight_decay();
  c.optim.nesterov = optim.nesterov();
  c.optim.decay_norm_and_bias = optim.decay_norm_and_bias();
  c.optim.larc.enabled = optim.larc().enabled();
  c.optim.larc.trust = optim.larc().trust();
  c.optim.larc.clip = optim.larc().clip();
  c.optim.kind = optim.kind() == v1::OPTIMIZER_KIND_ADAMW  ? engine::OptimizerKind::kAdamW
                 : optim.kind() == v1::OPTIMIZER_KIND_LARS ? engine::OptimizerKind::kLars
                                                           : engine::OptimizerKind::kSgd;
  if (optim.has_lars()) c.optim.lars.trust = optim.lars().trust();
  if (optim.has_adamw()) {
    c.optim.adamw = {optim.adamw().beta1(), optim.adamw().beta2(), optim.adamw().epsilon()};
  }
  c.optim.clip_norm = optim.clip_norm();
  c.optim.ema_decay = optim.ema_decay();
  c.optim.base_lr = optim.lr();
  c.optim.start_lr = optim.start_lr();
  c.optim.final_lr = optim.final_lr();
  c.optim.warmup_steps = optim.warmup_steps();
  c.optim.total_steps = std::max<int64_t>(1, optim.steps());
  c.optim.schedules = ToSchedules(optim);
  for (const v1::ParameterGroupSpec& spec_group : optim.groups()) {
    engine::ParameterGroup& group = c.optim.groups.emplace_back();
    group.match = spec_group.match();
    if (spec_group.has_lr_scale()) group.lr_scale = spec_group.lr_scale();
    if (spec_group.has_weight_decay()) group.weight_decay = spec_group.weight_decay();
    if (spec_group.has_adapt()) group.adapt = spec_group.adapt();
  }

  const auto& photometry = spec.augment().photometry();
  c.photometry.jitter_strength = photometry.jitter_strength();
  c.photometry.jitter_probability = photometry.jitter_probability();
  c.photometry.grey_probability = photometry.grey_probability();
  c.photometry.blur_probability = photometry.blur_probability();
  c.photometry.solarize_probability = photometry.solarize_probability();
  c.photometry.mean.assign(photometry.mean().begin(), photometry.mean().end());
  c.photometry.std.assign(photometry.std().begin(), photometry.std().end());

  using Recompute = engine::MemoryConfig::Recompute;
  c.memory.recompute = spec.memory().recompute() == v1::RECOMPUTE_MODE_ALL      ? Recompute::kAll
                       : spec.memory().recompute() == v1::RECOMPUTE_MODE_LIST   ? Recompute::kList
                       : spec.memory().recompute() == v1::RECOMPUTE_MODE_BUDGET ? Recompute::kBudget
                                                                                : Recompute::kNone;
  c.memory.budget_bytes = spec.memory().budget_bytes();
  c.memory.recompute_segments.assign(spec.memory().recompute_segments().begin(),
                                     spec.memory().recompute_segments().end());
  c.distributed.sync_bn_group_size = spec.distributed().sync_bn_group_size();
  c.memory.offload_optimizer = spec.memory().offload_optimizer();
  c.distributed.shard_group_size = spec.distributed().shard_group_size();
  c.distributed.bucket_bytes = spec.distributed().bucket_bytes();
  using Backend = engine::CollectiveBackend;
  c.distributed.backend =
      spec.distributed().backend() == v1::COLLECTIVE_BACKEND_NCCL   ? Backend::kNccl
      : spec.distributed().backend() == v1::COLLECTIVE_BACKEND_GLOO ? Backend::kGloo
                                                                    : Backend::kAuto;
  const auto& timeout = spec.distributed().collective_timeout();
  c.distributed.collective_timeout_seconds =
      static_cast<double>(timeout.seconds()) + timeout.nanos() * 1e-9;
  c.precision = spec.precision().mode() == v1::PRECISION_MODE_BF16   ? engine::Precision::kBf16
                : spec.precision().mode() == v1::PRECISION_MODE_TF32 ? engine::Precision::kTf32
                : spec.precision().mode() == v1::PRECISION_MODE_FP16 ? engine::Precision::kFp16
                                                                     : engine::Precision::kFp32;
  if (spec.precision().has_loss_scale()) {
    c.loss_scale = {spec.precision().loss_scale().initial(),
                    spec.precision().loss_scale().growth_interval()};
  }
  c.crops.clear();
  for (const auto& crop : spec.augment().crops()) c.crops.push_back({crop.views(), crop.size()});
  c.global_batch = spec.data().global_batch();
  c.accumulation_steps = AccumulationSteps(spec, world_size);
  c.seed = spec.seed();
  return c;
}

engine::RankConfig ToRankConfig(const v1::JobSpec& spec, const internal::v1::Assign& assign) {
  engine::RankConfig rank;
  rank.rank = assign.rank();
  rank.world_size = assign.world_size();
  rank.store_host = assign.store_host();
  rank.store_port = assign.store_port();
  rank.store_prefix = absl::StrCat("attempt-", assign.attempt_id());
  if (!assign.device().empty()) rank.device = assign.device();
  const int cores = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  rank.threads = spec.distributed().threads_per_rank() > 0
                     ? spec.distributed().threads_per_rank()
                     : std::max(1, cores / std::max(1, assign.ranks_on_machine()));
  return rank;
}

v1::StreamBatchesRequest ToStreamRequest(const v1::JobSpec& spec,
                                         const internal::v1::Assign& assign, int64_t first_step) {
  v1::StreamBatchesRequest request;
  request.set_pool(absl::StrCat("pools/", spec.data().pool()));
  for (const auto& entry : assign.data_plan()) {
    auto& plan = *request.add_data_plan();
    plan.set_first_step(entry.first_step());
    plan.set_generation(entry.generation());
  }
  request.set_seed(spec.seed());
  request.set_first_step(first_step);
  request.set_end_step(spec.optim().steps());
  request.set_rank(assign.rank());
  request.set_world_size(assign.world_size());
  request.set_global_batch(spec.data().global_batch());
  request.set_order(spec.data().sampling() == v1::SAMPLING_MODE_REPLACEMENT
                        ? v1::SAMPLE_ORDER_REPLACEMENT
                        : v1::SAMPLE_ORDER_SHUFFLED);
  for (const auto& crop : spec.augment().crops()) {
    auto& recipe = *request.add_crops();
    recipe.set_views(crop.views());
    recipe.set_size(crop.size());
    recipe.set_min_scale(crop.min_scale());
    recipe.set_max_scale(crop.max_scale());
    recipe.set_flip_probability(spec.augment().flip_probability());
    recipe.set_interpolation(spec.augment().interpolation());
  }
  request.set_max_bad_ratio(spec.data().max_bad_ratio());
  request.set_job(assign.job());
  return request;
}

std::string KeyBelow(absl::string_view uri, absl::string_view root) {
  absl::ConsumePrefix(&uri, root);
  while (absl::ConsumePrefix(&uri, "/")) {
  }
  while (absl::ConsumeSuffix(&uri, "/")) {
  }
  return std::string(uri);
}

}  // namespace seer::worker
