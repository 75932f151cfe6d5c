#include "common/spec/validate.h"

#include <cmath>
#include <set>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/label.h"
#include "common/base/status_macros.h"
#include "common/spec/elastic.h"
#include "common/spec/health.h"
#include "common/spec/rules.h"
#include "common/spec/trunk.h"
#include "common/spec/validate_alerts.h"
#include "common/spec/validate_chain.h"
#include "engine/export/names.h"

namespace seer {
namespace {

constexpr int kMaxExtraPrototypes = 16;
constexpr int kMaxSelectorLabels = 16;
constexpr int kMaxSpareRanks = 1024;
constexpr double kMaxEpochs = 1e6;
constexpr double kMaxSeconds = 1e9;  // 31 years: far from what milliseconds or a clock overflow at

absl::Status CheckSize(const v1::JobSpec& spec) {
  const size_t bytes = spec.ByteSizeLong();
  if (bytes <= kMaxSpecBytes) return absl::OkStatus();
  return Error(absl::StatusCode::kInvalidArgument, reason::kOutOfRange,
               absl::StrCat("the job has ", bytes, " bytes, must have at most ", kMaxSpecBytes))
      .Hint("a job says what to train, not with what: keep data in pools, and long texts elsewhere")
      .With("value", absl::StrCat(bytes))
      .With("allowed", absl::StrCat("at most ", kMaxSpecBytes));
}

absl::Status CheckScheduling(const v1::SchedulingSpec& scheduling) {
  SEER_RETURN_IF_ERROR(CheckName("scheduling.queue", scheduling.queue()));
  SEER_RETURN_IF_ERROR(InRange("scheduling.priority", scheduling.priority(), -1000, 1000));
  if (scheduling.worker_selector_size() > kMaxSelectorLabels)
    return Broken("scheduling.workerSelector",
                  absl::StrCat(scheduling.worker_selector_size(), " labels"),
                  absl::StrCat("at most ", kMaxSelectorLabels));
  for (const auto& [key, value] : scheduling.worker_selector()) {
    if (IsLabelKey(key) && IsLabelValue(value)) continue;
    return Broken(absl::StrCat("scheduling.workerSelector.", key), absl::StrCat("'", value, "'"),
                  std::string(kLabelRule));
  }
  if (!scheduling.group_within().empty() && !IsLabelKey(scheduling.group_within()))
    return Broken("scheduling.groupWithin", absl::StrCat("'", scheduling.group_within(), "'"),
                  "'machine' or the key of a label, as 'rack'");
  if (scheduling.on_preemption() < v1::PREEMPTION_POLICY_REQUEUE ||
      scheduling.on_preemption() > v1::PREEMPTION_POLICY_STOP)
    return Broken("scheduling.onPreemption",
                  absl::StrCat(static_cast<int>(scheduling.on_preemption())), "REQUEUE or STOP");
  return absl::OkStatus();
}

absl::Status CheckMetadata(const v1::Metadata& metadata) {
  if (!metadata.name().empty()) SEER_RETURN_IF_ERROR(CheckName("metadata.name", metadata.name()));
  for (const auto& [key, value] : metadata.labels()) {
    if (key.empty() || key.size() > 63 || value.size() > 63) {
      return Broken(absl::StrCat("metadata.labels.", key), absl::StrCat("'", value, "'"),
                    "a key and value of at most 63 characters");
    }
  }
  return absl::OkStatus();
}

absl::Status CheckMemory(const v1::MemorySpec& memory) {
  const bool budget = memory.recompute() == v1::RECOMPUTE_MODE_BUDGET;
  if (budget && memory.budget_bytes() <= 0)
    return Broken("memory.budgetBytes", absl::StrCat(memory.budget_bytes()), "above 0");
  if (!budget && memory.budget_bytes() != 0)
    return Broken("memory.budgetBytes", absl::StrCat(memory.budget_bytes()),
                  "only with memory.recompute BUDGET");
  return absl::OkStatus();
}

absl::Status CheckWeights(const v1::WeightsSpec& weights) {
  const std::string& uri = weights.uri();
  if (uri.empty())
    return Missing("model.weights.uri", "name a safetensors file, or take model.weights out");
  for (const absl::string_view ending : {".pth", ".pt", ".pkl", ".tar", ".bin"}) {
    if (!absl::EndsWith(uri, ending)) continue;
    return Broken("model.weights.uri", absl::StrCat("'", uri, "'"), "a safetensors file",
                  engine::kPickleHint);
  }
  if (!absl::StartsWith(uri, "/") && !absl::StrContains(uri, "://"))
    return Broken("model.weights.uri", absl::StrCat("'", uri, "'"), "an absolute path or a URI");
  if (weights.names() < v1::WEIGHT_NAMES_AUTO || weights.names() > v1::WEIGHT_NAMES_SWAV)
    return Broken("model.weights.names", absl::StrCat(static_cast<int>(weights.names())),
                  "auto, torchvision, timm, huggingface, vissl or swav");
  return absl::OkStatus();
}

absl::Status CheckModel(const v1::ModelSpec& model) {
  const v1::TrunkSpec& trunk = model.trunk();
  if (trunk.stem_stride() != 1 && trunk.stem_stride() != 2)
    return Broken("model.trunk.stemStride", absl::StrCat(trunk.stem_stride()), "1 or 2");
  const auto config = ToTrunkConfig(trunk);
  if (!config.ok())
    return Error(absl::StatusCode::kInvalidArgument, reason::kOutOfRange,
                 absl::StrCat("model.trunk.preset: ", config.status().message()))
        .Field("model.trunk.preset")
        .Hint(GetErrorDetail(config.status()).value_or(ErrorDetail()).hint);
  const auto stages = engine::TrunkStages(*config);
  if (!stages.ok())
    return Error(absl::StatusCode::kInvalidArgument, reason::kOutOfRange,
                 absl::StrCat("model.trunk.regnet: ", stages.status().message()))
        .Field("model.trunk.regnet");
  if (model.has_weights()) SEER_RETURN_IF_ERROR(CheckWeights(model.weights()));
  for (int64_t width : model.head().hidden())
    SEER_RETURN_IF_ERROR(InRange<int64_t>("model.head.hidden", width, 1, 65536));
  return InRange<int64_t>("model.head.outputDim", model.head().output_dim(), 1, 65536);
}

absl::Status CheckSwav(const v1::SwavSpec& swav, const v1::AugmentSpec& augment,
                       int64_t global_batch) {
  SEER_RETURN_IF_ERROR(InRange<int64_t>("loss.swav.prototypes", swav.prototypes(), 2, 1'000'000));
  SEER_RETURN_IF_ERROR(Positive("loss.swav.temperature", swav.temperature()));
  SEER_RETURN_IF_ERROR(Positive("loss.swav.epsilon", swav.epsilon()));
  SEER_RETURN_IF_ERROR(InRange("loss.swav.sinkhornIterations", swav.sinkhorn_iterations(), 1, 100));
  if (!(swav.power_law_exponent() >= 0 && swav.power_law_exponent() <= 10))
    return Broken("loss.swav.powerLawExponent", absl::StrCat(swav.power_law_exponent()),
                  "from 0 to 10");
  SEER_RETURN_IF_ERROR(AtLeast("loss.swav.hardCodeSteps", swav.hard_code_steps(), 0));
  if (swav.queue_length() != 0)
    SEER_RETURN_IF_ERROR(AtLeast("loss.swav.queueLength", swav.queue_length(), global_batch));
  SEER_RETURN_IF_ERROR(AtLeast("loss.swav.queueStartStep", swav.queue_start_step(), 0));
  if (!(swav.queue_start_epoch() >= 0 && swav.queue_start_epoch() <= kMaxEpochs))
    return Broken("loss.swav.queueStartEpoch", absl::StrCat(swav.queue_start_epoch()),
                  absl::StrCat("from 0 to ", kMaxEpochs));
  for (const int64_t prototypes : swav.extra_prototypes())
    SEER_RETURN_IF_ERROR(InRange<int64_t>("loss.swav.extraPrototypes", prototypes, 2, 1'000'000));
  if (swav.extra_prototypes_size() > kMaxExtraPrototypes)
    return Broken("loss.swav.extraPrototypes",
                  absl::StrCat(swav.extra_prototypes_size(), " layers"),
                  absl::StrCat("at most ", kMaxExtraPrototypes, " layers"));
  SEER_RETURN_IF_ERROR(
      AtLeast("loss.swav.freezePrototypesSteps", swav.freeze_prototypes_steps(), 0));
  int views = 0;
  for (const v1::CropSpec& crop : augment.crops()) views += crop.views();
  if (views < 2)
    return Broken("augment.crops", absl::StrCat(views, " views in all"),
                  "at least 2 views: SwAV predicts one view's code from another");
  if (swav.assign_views() < 1 || swav.assign_views() > augment.crops(0).views()) {
    return Broken("loss.swav.assignViews", absl::StrCat(swav.assign_views()),
                  absl::StrCat("from 1 to the first crop's views, ", augment.crops(0).views()));
  }
  return absl::OkStatus();
}

absl::Status CheckAugment(const v1::AugmentSpec& augment) {
  for (int i = 0; i < augment.crops_size(); ++i) {
    const v1::CropSpec& crop = augment.crops(i);
    const std::string field = absl::StrCat("augment.crops[", i, "].");
    SEER_RETURN_IF_ERROR(InRange(field + "views", crop.views(), 1, 64));
    SEER_RETURN_IF_ERROR(InRange(field + "size", crop.size(), 8, 1024));
    if (!(crop.min_scale() > 0 && crop.min_scale() <= crop.max_scale() && crop.max_scale() <= 1)) {
      return Broken(field + "minScale",
                    absl::StrCat(crop.min_scale(), " to maxScale ", crop.max_scale()),
                    "0 < minScale <= maxScale <= 1");
    }
  }
  SEER_RETURN_IF_ERROR(InRange("augment.flipProbability", augment.flip_probability(), 0.0, 1.0));
  if (!v1::Interpolation_IsValid(augment.interpolation()))
    return Broken("augment.interpolation", absl::StrCat(static_cast<int>(augment.interpolation())),
                  "bilinear or bicubic");
  const v1::PhotometrySpec& p = augment.photometry();
  SEER_RETURN_IF_ERROR(
      InRange("augment.photometry.jitterStrength", p.jitter_strength(), 0.0, 1.25));
  SEER_RETURN_IF_ERROR(
      InRange("augment.photometry.jitterProbability", p.jitter_probability(), 0.0, 1.0));
  SEER_RETURN_IF_ERROR(
      InRange("augment.photometry.greyProbability", p.grey_probability(), 0.0, 1.0));
  SEER_RETURN_IF_ERROR(
      InRange("augment.photometry.blurProbability", p.blur_probability(), 0.0, 1.0));
  SEER_RETURN_IF_ERROR(
      InRange("augment.photometry.solarizeProbability", p.solarize_probability(), 0.0, 1.0));
  if (p.mean_size() != 3)
    return Broken("augment.photometry.mean", absl::StrCat(p.mean_size(), " numbers"),
                  "3 numbers (red, green, blue)");
  if (p.std_size() != 3)
    return Broken("augment.photometry.std", absl::StrCat(p.std_size(), " numbers"),
                  "3 numbers (red, green, blue)");
  for (float value : p.mean())
    SEER_RETURN_IF_ERROR(InRange<double>("augment.photometry.mean", value, -1000, 1000));
  for (float value : p.std()) SEER_RETURN_IF_ERROR(Positive("augment.photometry.std", value));
  return absl::OkStatus();
}

absl::Status CheckData(const v1::DataSpec& data, int ranks, int64_t accumulation_steps) {
  if (data.pool().empty())
    return Missing("data.pool", "name the pool to train on; `seer pool list` shows them");
  SEER_RETURN_IF_ERROR(CheckName("data.pool", data.pool()));
  if (data.has_generation()) SEER_RETURN_IF_ERROR(AtLeast("data.generation", data.generation(), 1));
  if (data.has_generation() && data.follow_pool())
    return Broken("data.followPool", "true together with data.generation",
                  "a job keeps to one generation or follows the pool: leave one of them out");
  if (data.transport() < v1::DATA_TRANSPORT_AUTO ||
      data.transport() > v1::DATA_TRANSPORT_IN_TRAINER)
    return Broken("data.transport", absl::StrCat(static_cast<int>(data.transport())),
                  "auto, grpc or in_trainer");
  SEER_RETURN_IF_ERROR(AtLeast("data.globalBatch", data.global_batch(), 1));
  if (data.global_batch() % ranks != 0) {
    return Broken("data.globalBatch", absl::StrCat(data.global_batch()),
                  absl::StrCat("a multiple of distributed.ranks, ", ranks));
  }
  SEER_RETURN_IF_ERROR(AtLeast("optim.accumulationSteps", accumulation_steps, 1));
  if (data.global_batch() / ranks % accumulation_steps != 0) {
    return Broken("optim.accumulationSteps", absl::StrCat(accumulation_steps),
                  absl::StrCat("a divisor of a rank's batch, ", data.global_batch() / ranks));
  }
  SEER_RETURN_IF_ERROR(InRange("data.prefetchSteps", data.prefetch_steps(), 1, 64));
  if (data.sampling() < v1::SAMPLING_MODE_EPOCHS || data.sampling() > v1::SAMPLING_MODE_REPLACEMENT)
    return Broken("data.sampling", absl::StrCat(static_cast<int>(data.sampling())),
                  "epochs or replacement");
  return InRange("data.maxBadRatio", data.max_bad_ratio(), 0.0, 1.0);
}

absl::Status BelowOne(absl::string_view field, double value) {
  return value >= 0 && value < 1 ? absl::OkStatus()
                                 : Broken(field, absl::StrCat(value), "from 0 to below 1");
}

// A setting of another kind would do nothing: an error that says how to get what was meant.
absl::Status CheckOptimizerKind(const v1::OptimSpec& optim) {
  const bool sgd = optim.kind() == v1::OPTIMIZER_KIND_SGD;
  if (!sgd && optim.kind() != v1::OPTIMIZER_KIND_LARS && optim.kind() != v1::OPTIMIZER_KIND_ADAMW)
    return Broken("optim.kind", absl::StrCat(static_cast<int>(optim.kind())), "sgd, lars or adamw");
  const auto unused = [](absl::string_view field, absl::string_view only_with,
                         absl::string_view removal) {
    return Error(absl::StatusCode::kInvalidArgument, reason::kOutOfRange,
                 absl::StrCat(field, " works only with optim.kind ", only_with))
        .Field(field)
        .Hint(absl::StrCat("set optim.kind to ", only_with, ", or ", removal));
  };
  if (!sgd && optim.larc().enabled())
    return unused("optim.larc.enabled", "sgd",
                  "set optim.larc.enabled to false; optim.kind lars adapts rates by layer too");
  if (!sgd && optim.nesterov())
    return unused("optim.nesterov", "sgd", "set optim.nesterov to false");
  if (optim.has_lars() && optim.kind() != v1::OPTIMIZER_KIND_LARS)
    return unused("optim.lars", "lars", "take optim.lars out");
  if (optim.has_adamw() && optim.kind() != v1::OPTIMIZER_KIND_ADAMW)
    return unused("optim.adamw", "adamw", "take optim.adamw out");
  if (optim.has_lars()) return Positive("optim.lars.trust", optim.lars().trust());
  if (!optim.has_adamw()) return absl::OkStatus();
  SEER_RETURN_IF_ERROR(BelowOne("optim.adamw.beta1", optim.adamw().beta1()));
  SEER_RETURN_IF_ERROR(BelowOne("optim.adamw.beta2", optim.adamw().beta2()));
  return Positive("optim.adamw.epsilon", optim.adamw().epsilon());
}

// The rule of the value's own field, but that a learning rate may touch 0.
absl::Status CheckScheduled(v1::ScheduledValue value, absl::string_view field, double number) {
  switch (value) {
    case v1::SCHEDULED_VALUE_MOMENTUM:
      return BelowOne(field, number);
    case v1::SCHEDULED_VALUE_LR:
    case v1::SCHEDULED_VALUE_WEIGHT_DECAY:
      return NotNegative(field, number);
    default:
      return Positive(field, number);
  }
}

absl::Status CheckPhases(const v1::ScheduleSpec& schedule, const std::string& field) {
  if (schedule.phases_size() == 0)
    return Missing(field + ".phases", "give at least 1 phase, or take the schedule out");
  for (int j = 0; j < schedule.phases_size(); ++j) {
    const v1::SchedulePhase& phase = schedule.phases(j);
    const std::string at = absl::StrCat(field, ".phases[", j, "]");
    if (phase.shape() == v1::SCHEDULE_SHAPE_UNSPECIFIED)
      return Missing(at + ".shape", "say constant, linear or cosine");
    if (phase.shape() > v1::SCHEDULE_SHAPE_COSINE || phase.shape() < 0)
      return Broken(at + ".shape", absl::StrCat(static_cast<int>(phase.shape())),
                    "constant, linear or cosine");
    SEER_RETURN_IF_ERROR(AtLeast(at + ".steps", phase.steps(), 1));
    SEER_RETURN_IF_ERROR(CheckScheduled(schedule.value(), at + ".start", phase.start()));
    SEER_RETURN_IF_ERROR(CheckScheduled(schedule.value(), at + ".end", phase.end()));
    if (phase.shape() == v1::SCHEDULE_SHAPE_CONSTANT && phase.end() != phase.start())
      return Broken(at + ".end", absl::StrCat(phase.end()),
                    absl::StrCat("its start, ", phase.start(), ", as it is constant"),
                    "set its shape to linear or cosine, or take end out");
  }
  return absl::OkStatus();
}

// A schedule of what the job does not use would do nothing: an error.
absl::Status CheckScheduleUse(const v1::OptimSpec& optim, v1::ScheduledValue value,
                              const std::string& field) {
  const auto unused = [&](absl::string_view what, absl::string_view only_with) {
    return Broken(field, absl::StrCat("a schedule of ", what), absl::StrCat("with ", only_with),
                  absl::StrCat("take the schedule out, or train with ", only_with));
  };
  if (value == v1::SCHEDULED_VALUE_LR && optim.warmup_steps() != 0)
    return unused("the learning rate", "optim.warmupSteps 0: make the warm-up its first phase");
  if (value == v1::SCHEDULED_VALUE_MOMENTUM && optim.kind() == v1::OPTIMIZER_KIND_ADAMW)
    return unused("momentum", "optim.kind sgd or lars");
  if (value == v1::SCHEDULED_VALUE_LARC_TRUST && !optim.larc().enabled())
    return unused("LARC's trust", "optim.larc.enabled true");
  return absl::OkStatus();
}

absl::Status CheckSchedules(const v1::OptimSpec& optim) {
  std::set<int> seen;
  for (int i = 0; i < optim.schedules_size(); ++i) {
    const v1::ScheduleSpec& schedule = optim.schedules(i);
    const std::string field = absl::StrCat("optim.schedules[", i, "]");
    if (schedule.value() == v1::SCHEDULED_VALUE_UNSPECIFIED)
      return Missing(field + ".value",
                     "name what it changes: lr, weight_decay, momentum, larc_trust, temperature or "
                     "epsilon");
    if (schedule.value() > v1::SCHEDULED_VALUE_EPSILON || schedule.value() < 0)
      return Broken(field + ".value", absl::StrCat(static_cast<int>(schedule.value())),
                    "lr, weight_decay, momentum, larc_trust, temperature or epsilon");
    if (!seen.insert(schedule.value()).second)
      return Broken(field + ".value", "scheduled a second time", "scheduled once",
                    "join the phases of both schedules in one");
    SEER_RETURN_IF_ERROR(CheckScheduleUse(optim, schedule.value(), field + ".value"));
    SEER_RETURN_IF_ERROR(CheckPhases(schedule, field));
  }
  return absl::OkStatus();
}

absl::Status CheckGroups(const v1::OptimSpec& optim) {
  const bool adapts = optim.larc().enabled() || optim.kind() == v1::OPTIMIZER_KIND_LARS;
  for (int i = 0; i < optim.groups_size(); ++i) {
    const v1::ParameterGroupSpec& group = optim.groups(i);
    const std::string field = absl::StrCat("optim.groups[", i, "].");
    if (group.match().empty())
      return Missing(field + "match",
                     "give a pattern of parameter names, as \"*.bias\" or \"projection_head.*\"");
    SEER_RETURN_IF_ERROR(NotNegative(field + "lrScale", group.lr_scale()));
    if (group.has_weight_decay())
      SEER_RETURN_IF_ERROR(NotNegative(field + "weightDecay", group.weight_decay()));
    if (group.has_adapt() && !adapts)
      return Broken(field + "adapt", group.adapt() ? "true" : "false",
                    "set only where rates are layer-wise",
                    "take it out, or set optim.larc.enabled to true or optim.kind to lars");
  }
  return absl::OkStatus();
}

absl::Status CheckPrecision(const v1::PrecisionSpec& precision) {
  if (precision.mode() < v1::PRECISION_MODE_FP32 || precision.mode() > v1::PRECISION_MODE_FP16)
    return Broken("precision.mode", absl::StrCat(static_cast<int>(precision.mode())),
                  "fp32, tf32, bf16 or fp16");
  if (!precision.has_loss_scale()) return absl::OkStatus();
  if (precision.mode() != v1::PRECISION_MODE_FP16)
    return Broken("precision.lossScale", "set", "left out but with precision.mode fp16",
                  "take precision.lossScale out, or set precision.mode to fp16");
  SEER_RETURN_IF_ERROR(
      InRange<double>("precision.lossScale.initial", precision.loss_scale().initial(), 1, 1 << 24));
  return AtLeast("precision.lossScale.growthInterval", precision.loss_scale().growth_interval(), 1);
}

absl::Status CheckFailure(const v1::FailureSpec& failure) {
  SEER_RETURN_IF_ERROR(AtLeast("failure.maxRestarts", failure.max_restarts(), 0));
  if (failure.refused_step_policy() < v1::REFUSED_STEP_POLICY_SKIP ||
      failure.refused_step_policy() > v1::REFUSED_STEP_POLICY_FAIL)
    return Broken("failure.refusedStepPolicy",
                  absl::StrCat(static_cast<int>(failure.refused_step_policy())),
                  "skip, roll_back or fail");
  return AtLeast("failure.refusedStepLimit", failure.refused_step_limit(), 1);
}

absl::Status CheckOptim(const v1::OptimSpec& optim) {
  if (optim.steps() == 0)
    return Missing("optim.steps", "say how many steps to train: optim.steps, at least 1");
  SEER_RETURN_IF_ERROR(AtLeast("optim.steps", optim.steps(), 1));
  SEER_RETURN_IF_ERROR(Positive("optim.lr", optim.lr()));
  SEER_RETURN_IF_ERROR(NotNegative("optim.startLr", optim.start_lr()));
  SEER_RETURN_IF_ERROR(NotNegative("optim.finalLr", optim.final_lr()));
  SEER_RETURN_IF_ERROR(
      InRange<int64_t>("optim.warmupSteps", optim.warmup_steps(), 0, optim.steps()));
  SEER_RETURN_IF_ERROR(BelowOne("optim.momentum", optim.momentum()));
  SEER_RETURN_IF_ERROR(NotNegative("optim.weightDecay", optim.weight_decay()));
  SEER_RETURN_IF_ERROR(NotNegative("optim.clipNorm", optim.clip_norm()));
  SEER_RETURN_IF_ERROR(BelowOne("optim.emaDecay", optim.ema_decay()));
  SEER_RETURN_IF_ERROR(CheckOptimizerKind(optim));
  SEER_RETURN_IF_ERROR(CheckSchedules(optim));
  SEER_RETURN_IF_ERROR(CheckGroups(optim));
  return Positive("optim.larc.trust", optim.larc().trust());
}

absl::Status CheckEval(const v1::JobSpec& spec) {
  const v1::EvalSpec& eval = spec.eval();
  if (eval.train_pool().empty())
    return Missing("eval.trainPool", "name the labelled pool whose images vote");
  if (eval.test_pool().empty())
    return Missing("eval.testPool", "name the labelled pool of held-out images");
  SEER_RETURN_IF_ERROR(CheckName("eval.trainPool", eval.train_pool()));
  SEER_RETURN_IF_ERROR(CheckName("eval.testPool", eval.test_pool()));
  for (int32_t k : eval.k()) SEER_RETURN_IF_ERROR(InRange("eval.k", k, 1, 1000));
  SEER_RETURN_IF_ERROR(Positive("eval.temperature", eval.temperature()));
  SEER_RETURN_IF_ERROR(InRange("eval.imageSize", eval.image_size(), 8, 1024));
  SEER_RETURN_IF_ERROR(InRange("eval.batch", eval.batch(), 1, 4096));
  if (spec.distributed().ranks() != 1)
    return Broken("distributed.ranks", absl::StrCat(spec.distributed().ranks()),
                  "1 for an evaluation");
  return absl::OkStatus();
}

absl::Status CheckBackend(v1::CollectiveBackend backend) {
  if (backend == v1::COLLECTIVE_BACKEND_AUTO || backend == v1::COLLECTIVE_BACKEND_GLOO ||
      backend == v1::COLLECTIVE_BACKEND_NCCL)
    return absl::OkStatus();
  return Broken("distributed.backend", absl::StrCat(static_cast<int>(backend)),
                "AUTO, GLOO or NCCL");
}

absl::Status CheckElastic(const v1::JobSpec& spec) {
  const v1::DistributedSpec& distributed = spec.distributed();
  SEER_RETURN_IF_ERROR(
      InRange("distributed.minRanks", distributed.min_ranks(), 1, distributed.ranks()));
  SEER_RETURN_IF_ERROR(
      InRange("distributed.spareRanks", distributed.spare_ranks(), 0, kMaxSpareRanks));
  if (spec.kind() == v1::JOB_KIND_EVAL_KNN) {
    if (distributed.spare_ranks() == 0) return absl::OkStatus();
    return Broken("distributed.spareRanks", absl::StrCat(distributed.spare_ranks()),
                  "0 for an evaluation");
  }
  if (distributed.min_ranks() == distributed.ranks() || WorldSizes(spec).size() > 1)
    return absl::OkStatus();
  v1::JobSpec any = spec;
  any.mutable_distributed()->set_min_ranks(1);
  const std::vector<int> sizes = WorldSizes(any);
  const std::string most = sizes.size() > 1 ? absl::StrCat("at most ", sizes[1], ", or ") : "";
  return Broken("distributed.minRanks", absl::StrCat(distributed.min_ranks()),
                absl::StrCat(most, "distributed.ranks, ", distributed.ranks(),
                             ": no number of ranks between divides data.globalBatch and is divided "
                             "by distributed.syncBnGroupSize and shardGroupSize"),
                absl::StrCat("set distributed.minRanks to ", most, distributed.ranks(),
                             ", or choose another data.globalBatch or smaller groups"));
}

absl::Status CheckRetention(const v1::JobSpec& spec) {
  const v1::CheckpointSpec& checkpoint = spec.checkpoint();
  SEER_RETURN_IF_ERROR(AtLeast("checkpoint.keepLast", checkpoint.keep_last(), 1));
  SEER_RETURN_IF_ERROR(AtLeast("checkpoint.keepEvery", checkpoint.keep_every(), 0));
  SEER_RETURN_IF_ERROR(AtLeast("checkpoint.keepBest", checkpoint.keep_best(), 0));
  SEER_RETURN_IF_ERROR(InRange("checkpoint.keepLastWhenFull", checkpoint.keep_last_when_full(), 1,
                               checkpoint.keep_last()));
  if (spec.kind() == v1::JOB_KIND_EVAL_KNN && !checkpoint.start_from().empty())
    return Broken("checkpoint.startFrom", absl::StrCat("'", checkpoint.start_from(), "'"),
                  "empty for an evaluation, which has eval.checkpoint");
  return absl::OkStatus();
}

}  // namespace

absl::Status ValidateJobSpec(const v1::JobSpec& spec) {
  SEER_RETURN_IF_ERROR(CheckSize(spec));
  SEER_RETURN_IF_ERROR(CheckMetadata(spec.metadata()));
  const v1::DistributedSpec& distributed = spec.distributed();
  SEER_RETURN_IF_ERROR(InRange("distributed.ranks", distributed.ranks(), 1, 65536));
  SEER_RETURN_IF_ERROR(CheckModel(spec.model()));
  SEER_RETURN_IF_ERROR(CheckMemory(spec.memory()));
  SEER_RETURN_IF_ERROR(CheckPrecision(spec.precision()));
  SEER_RETURN_IF_ERROR(CheckAugment(spec.augment()));
  if (spec.kind() == v1::JOB_KIND_EVAL_KNN) {
    SEER_RETURN_IF_ERROR(CheckEval(spec));
  } else {
    SEER_RETURN_IF_ERROR(CheckSwav(spec.loss().swav(), spec.augment(), spec.data().global_batch()));
    SEER_RETURN_IF_ERROR(
        CheckData(spec.data(), distributed.ranks(), spec.optim().accumulation_steps()));
    SEER_RETURN_IF_ERROR(CheckOptim(spec.optim()));
  }
  SEER_RETURN_IF_ERROR(InRange("distributed.syncBnGroupSize", distributed.sync_bn_group_size(), 0,
                               distributed.ranks()));
  if (distributed.sync_bn_group_size() > 0 &&
      distributed.ranks() % distributed.sync_bn_group_size() != 0) {
    return Broken("distributed.syncBnGroupSize", absl::StrCat(distributed.sync_bn_group_size()),
                  absl::StrCat("a divisor of distributed.ranks, ", distributed.ranks()));
  }
  SEER_RETURN_IF_ERROR(InRange("distributed.shardGroupSize", distributed.shard_group_size(), 0,
                               distributed.ranks()));
  if (distributed.shard_group_size() > 0 &&
      distributed.ranks() % distributed.shard_group_size() != 0) {
    return Broken("distributed.shardGroupSize", absl::StrCat(distributed.shard_group_size()),
                  absl::StrCat("a divisor of distributed.ranks, ", distributed.ranks()));
  }
  SEER_RETURN_IF_ERROR(CheckElastic(spec));
  SEER_RETURN_IF_ERROR(
      InRange("distributed.threadsPerRank", distributed.threads_per_rank(), 0, 1024));
  SEER_RETURN_IF_ERROR(AtLeast("distributed.bucketBytes", distributed.bucket_bytes(), 1));
  SEER_RETURN_IF_ERROR(CheckBackend(distributed.backend()));
  const auto seconds = [](const auto& duration) {
    return static_cast<double>(duration.seconds()) + duration.nanos() * 1e-9;
  };
  for (const auto& [field, value] :
       {std::pair("distributed.collectiveTimeout", seconds(distributed.collective_timeout())),
        std::pair("failure.noProgressTimeout", seconds(spec.failure().no_progress_timeout()))}) {
    SEER_RETURN_IF_ERROR(Positive(field, value));
    if (value > kMaxSeconds)
      return Broken(field, absl::StrCat(value, " s"), absl::StrCat("at most ", kMaxSeconds, " s"));
  }
  SEER_RETURN_IF_ERROR(CheckFailure(spec.failure()));
  SEER_RETURN_IF_ERROR(CheckScheduling(spec.scheduling()));
  SEER_RETURN_IF_ERROR(CheckHealthRules(spec));
  SEER_RETURN_IF_ERROR(AtLeast("checkpoint.everySteps", spec.checkpoint().every_steps(), 1));
  SEER_RETURN_IF_ERROR(CheckWebhooks(spec.alerts()));
  SEER_RETURN_IF_ERROR(CheckChain(spec));
  return CheckRetention(spec);
}

}  // namespace seer
