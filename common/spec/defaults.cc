#include "common/spec/defaults.h"

#include <iterator>
#include <tuple>

namespace seer {
namespace {

constexpr float kImageNetMean[] = {0.485f, 0.456f, 0.406f};
constexpr float kImageNetStd[] = {0.229f, 0.224f, 0.225f};

// SwAV's 2 x 224 + 6 x 96 (arXiv:2006.09882, as the SEER runs used it).
void FillCrops(v1::AugmentSpec& augment) {
  if (augment.crops_size() == 0) {
    for (const auto& [views, size, min_scale, max_scale] :
         {std::tuple(2, 224, 0.14, 1.0), std::tuple(6, 96, 0.05, 0.14)}) {
      v1::CropSpec& crop = *augment.add_crops();
      crop.set_views(views);
      crop.set_size(size);
      crop.set_min_scale(min_scale);
      crop.set_max_scale(max_scale);
    }
  }
  for (v1::CropSpec& crop : *augment.mutable_crops()) {
    if (crop.views() == 0) crop.set_views(1);
    if (crop.min_scale() == 0 && crop.max_scale() == 0) crop.set_min_scale(0.14);
    if (crop.max_scale() == 0) crop.set_max_scale(1.0);
  }
}

void FillAugment(v1::AugmentSpec& augment) {
  FillCrops(augment);
  if (!augment.has_flip_probability()) augment.set_flip_probability(0.5);
  if (augment.interpolation() == v1::INTERPOLATION_UNSPECIFIED)
    augment.set_interpolation(v1::INTERPOLATION_BILINEAR);
  v1::PhotometrySpec& photometry = *augment.mutable_photometry();
  if (!photometry.has_jitter_strength()) photometry.set_jitter_strength(1.0);
  if (!photometry.has_jitter_probability()) photometry.set_jitter_probability(0.8);
  if (!photometry.has_grey_probability()) photometry.set_grey_probability(0.2);
  if (!photometry.has_blur_probability()) photometry.set_blur_probability(0.5);
  if (!photometry.has_solarize_probability()) photometry.set_solarize_probability(0.0);
  if (photometry.mean_size() == 0)
    photometry.mutable_mean()->Add(std::begin(kImageNetMean), std::end(kImageNetMean));
  if (photometry.std_size() == 0)
    photometry.mutable_std()->Add(std::begin(kImageNetStd), std::end(kImageNetStd));
}

void FillModel(v1::ModelSpec& model) {
  v1::TrunkSpec& trunk = *model.mutable_trunk();
  if (trunk.preset().empty() && !trunk.has_regnet()) trunk.set_preset("regnety_200mf");
  if (trunk.stem_stride() == 0) trunk.set_stem_stride(2);
  v1::HeadSpec& head = *model.mutable_head();
  if (head.hidden_size() == 0) head.add_hidden(2048);
  if (head.output_dim() == 0) head.set_output_dim(128);
  if (!head.has_batch_norm()) head.set_batch_norm(true);
  if (model.has_weights() && model.weights().names() == v1::WEIGHT_NAMES_UNSPECIFIED)
    model.mutable_weights()->set_names(v1::WEIGHT_NAMES_AUTO);
}

void FillSwav(v1::SwavSpec& swav) {
  if (swav.prototypes() == 0) swav.set_prototypes(3000);
  if (swav.temperature() == 0) swav.set_temperature(0.1);
  if (swav.epsilon() == 0) swav.set_epsilon(0.05);
  if (swav.sinkhorn_iterations() == 0) swav.set_sinkhorn_iterations(3);
  if (swav.sinkhorn_domain() == v1::SINKHORN_DOMAIN_UNSPECIFIED)
    swav.set_sinkhorn_domain(v1::SINKHORN_DOMAIN_LOG);
  if (swav.assign_views() == 0) swav.set_assign_views(2);
  if (!swav.has_freeze_prototypes_steps()) swav.set_freeze_prototypes_steps(313);
}

// Rate per 256 images: of the SEER run, of SwAV's large batches (arXiv:2006.09882), of DINO
// (arXiv:2104.14294).
double LearningRatePer256(v1::OptimizerKind kind) {
  return kind == v1::OPTIMIZER_KIND_ADAMW ? 5e-4 : kind == v1::OPTIMIZER_KIND_LARS ? 0.3 : 0.6;
}

void FillOptim(v1::OptimSpec& optim, int64_t global_batch) {
  if (optim.kind() == v1::OPTIMIZER_KIND_UNSPECIFIED) optim.set_kind(v1::OPTIMIZER_KIND_SGD);
  const bool lars = optim.kind() == v1::OPTIMIZER_KIND_LARS,
             adamw = optim.kind() == v1::OPTIMIZER_KIND_ADAMW;
  if (optim.lr() == 0)
    optim.set_lr(LearningRatePer256(optim.kind()) * static_cast<double>(global_batch) / 256.0);
  if (!optim.has_start_lr()) optim.set_start_lr(0);
  if (!optim.has_final_lr()) optim.set_final_lr(optim.lr() / 1000);
  if (!optim.has_warmup_steps()) optim.set_warmup_steps(0);
  if (optim.accumulation_steps() == 0) optim.set_accumulation_steps(1);
  if (!optim.has_momentum()) optim.set_momentum(0.9);
  if (!optim.has_weight_decay()) optim.set_weight_decay(adamw ? 1e-2 : 1e-6);
  if (!optim.has_decay_norm_and_bias()) optim.set_decay_norm_and_bias(!lars);
  for (v1::ParameterGroupSpec& group : *optim.mutable_groups()) {
    if (!group.has_lr_scale()) group.set_lr_scale(1);
  }
  v1::LarcSpec& larc = *optim.mutable_larc();
  if (!larc.has_enabled()) larc.set_enabled(optim.kind() == v1::OPTIMIZER_KIND_SGD);
  if (!larc.has_trust()) larc.set_trust(0.001);
  if (lars && !optim.lars().has_trust()) optim.mutable_lars()->set_trust(0.001);
  if (adamw) {
    v1::AdamwSpec& moments = *optim.mutable_adamw();
    if (!moments.has_beta1()) moments.set_beta1(0.9);
    if (!moments.has_beta2()) moments.set_beta2(0.999);
    if (!moments.has_epsilon()) moments.set_epsilon(1e-8);
  }
}

// What a value is where no schedule changes it.
double OwnField(const v1::JobSpec& spec, v1::ScheduledValue value) {
  switch (value) {
    case v1::SCHEDULED_VALUE_LR:
      return spec.optim().lr();
    case v1::SCHEDULED_VALUE_WEIGHT_DECAY:
      return spec.optim().weight_decay();
    case v1::SCHEDULED_VALUE_MOMENTUM:
      return spec.optim().momentum();
    case v1::SCHEDULED_VALUE_LARC_TRUST:
      return spec.optim().larc().trust();
    case v1::SCHEDULED_VALUE_TEMPERATURE:
      return spec.loss().swav().temperature();
    case v1::SCHEDULED_VALUE_EPSILON:
      return spec.loss().swav().epsilon();
    default:
      return 0;  // refused by ValidateJobSpec
  }
}

// After all fields that a value may start from.
void FillSchedules(v1::JobSpec& spec) {
  for (v1::ScheduleSpec& schedule : *spec.mutable_optim()->mutable_schedules()) {
    double last = OwnField(spec, schedule.value());
    for (v1::SchedulePhase& phase : *schedule.mutable_phases()) {
      if (!phase.has_start()) phase.set_start(last);
      if (!phase.has_end()) phase.set_end(phase.start());
      last = phase.end();
    }
  }
}

void FillEval(v1::EvalSpec& eval, int crop_size) {
  if (eval.k_size() == 0) eval.add_k(20);
  if (eval.temperature() == 0) eval.set_temperature(0.07);
  if (eval.image_size() == 0) eval.set_image_size(crop_size);
  if (eval.batch() == 0) eval.set_batch(64);
}

}  // namespace

void FillDefaults(v1::JobSpec& spec) {
  if (spec.kind() == v1::JOB_KIND_UNSPECIFIED) spec.set_kind(v1::JOB_KIND_PRETRAIN);
  FillModel(*spec.mutable_model());
  FillSwav(*spec.mutable_loss()->mutable_swav());
  FillAugment(*spec.mutable_augment());
  v1::DataSpec& data = *spec.mutable_data();
  if (data.global_batch() == 0) data.set_global_batch(256);
  v1::SwavSpec& swav = *spec.mutable_loss()->mutable_swav();
  if (data.global_batch() > 0 && swav.queue_length() > data.global_batch())
    swav.set_queue_length(swav.queue_length() - swav.queue_length() % data.global_batch());
  if (data.prefetch_steps() == 0) data.set_prefetch_steps(4);
  if (!data.has_max_bad_ratio()) data.set_max_bad_ratio(0.01);
  if (data.sampling() == v1::SAMPLING_MODE_UNSPECIFIED) data.set_sampling(v1::SAMPLING_MODE_EPOCHS);
  if (data.transport() == v1::DATA_TRANSPORT_UNSPECIFIED)
    data.set_transport(v1::DATA_TRANSPORT_AUTO);
  FillOptim(*spec.mutable_optim(), data.global_batch());
  FillSchedules(spec);
  if (spec.precision().mode() == v1::PRECISION_MODE_UNSPECIFIED)
    spec.mutable_precision()->set_mode(v1::PRECISION_MODE_FP32);
  if (spec.precision().mode() == v1::PRECISION_MODE_FP16) {
    v1::LossScaleSpec& scale = *spec.mutable_precision()->mutable_loss_scale();
    if (!scale.has_initial()) scale.set_initial(65536);
    if (scale.growth_interval() == 0) scale.set_growth_interval(2000);
  }
  if (spec.memory().recompute() == v1::RECOMPUTE_MODE_UNSPECIFIED)
    spec.mutable_memory()->set_recompute(
        spec.memory().budget_bytes() > 0 ? v1::RECOMPUTE_MODE_BUDGET : v1::RECOMPUTE_MODE_NONE);
  v1::DistributedSpec& distributed = *spec.mutable_distributed();
  if (distributed.ranks() == 0) distributed.set_ranks(1);
  if (distributed.min_ranks() == 0) distributed.set_min_ranks(distributed.ranks());
  if (!distributed.has_shard_group_size()) distributed.set_shard_group_size(1);
  if (distributed.bucket_bytes() == 0) distributed.set_bucket_bytes(25 << 20);
  if (distributed.backend() == v1::COLLECTIVE_BACKEND_UNSPECIFIED)
    distributed.set_backend(v1::COLLECTIVE_BACKEND_AUTO);
  if (!distributed.has_collective_timeout())
    distributed.mutable_collective_timeout()->set_seconds(300);
  v1::CheckpointSpec& checkpoint = *spec.mutable_checkpoint();
  if (checkpoint.every_steps() == 0) checkpoint.set_every_steps(1000);
  if (checkpoint.keep_last() == 0) checkpoint.set_keep_last(3);
  if (checkpoint.keep_last_when_full() == 0)
    checkpoint.set_keep_last_when_full(checkpoint.keep_last());
  v1::FailureSpec& failure = *spec.mutable_failure();
  if (!failure.has_max_restarts()) failure.set_max_restarts(10);
  if (!failure.has_no_progress_timeout()) failure.mutable_no_progress_timeout()->set_seconds(600);
  if (failure.refused_step_policy() == v1::REFUSED_STEP_POLICY_UNSPECIFIED)
    failure.set_refused_step_policy(v1::REFUSED_STEP_POLICY_SKIP);
  if (failure.refused_step_limit() == 0) failure.set_refused_step_limit(10);
  v1::SchedulingSpec& scheduling = *spec.mutable_scheduling();
  if (scheduling.queue().empty()) scheduling.set_queue("default");
  if (scheduling.on_preemption() == v1::PREEMPTION_POLICY_UNSPECIFIED)
    scheduling.set_on_preemption(v1::PREEMPTION_POLICY_REQUEUE);
  if (spec.alerts().mode() == v1::HEALTH_MODE_UNSPECIFIED)
    spec.mutable_alerts()->set_mode(v1::HEALTH_MODE_ADVISE);
  for (int i = 0; i < spec.chain().after_size(); ++i) {
    v1::AfterSpec& after = *spec.mutable_chain()->mutable_after(i);
    if (after.condition() == v1::AFTER_CONDITION_UNSPECIFIED)
      after.set_condition(v1::AFTER_CONDITION_SUCCEEDED);
  }
  if (spec.kind() == v1::JOB_KIND_EVAL_KNN)
    FillEval(*spec.mutable_eval(), spec.augment().crops(0).size());
}

}  // namespace seer
