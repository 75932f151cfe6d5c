#include "engine/train/config_check.h"

#include <cmath>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/digest.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"

namespace seer::engine {
namespace {

absl::Status Bad(absl::string_view field, const std::string& text, absl::string_view hint = "") {
  return Error(absl::StatusCode::kInvalidArgument, reason::kInvalidArgument, text)
      .Field(field)
      .Hint(hint);
}

absl::Status CheckSwav(const TrainConfig& config) {
  const SwavConfig& swav = config.swav;
  const int views = TotalViews(config);
  if (!(swav.temperature > 0))
    return Bad("swav.temperature",
               absl::StrCat("the temperature is ", swav.temperature, ", not above 0"));
  if (!(swav.epsilon > 0))
    return Bad("swav.epsilon", absl::StrCat("epsilon is ", swav.epsilon, ", not above 0"));
  if (swav.sinkhorn_iterations < 1)
    return Bad("swav.sinkhorn_iterations", "Sinkhorn needs at least 1 iteration");
  if (!(swav.power_law_exponent >= 0))
    return Bad("swav.power_law_exponent", "the power law's exponent is negative");
  if (views < 2)
    return Bad("crops", absl::StrCat("the crops make ", views, " views; SwAV compares at least 2"));
  if (swav.assign_views < 1 || swav.assign_views > views) {
    return Bad("swav.assign_views",
               absl::StrCat("codes for ", swav.assign_views, " views of ", views));
  }
  if (swav.queue_length < 0) return Bad("swav.queue_length", "the queue's length is negative");
  return absl::OkStatus();
}

std::vector<std::pair<const char*, const Schedule*>> Named(const ScheduleConfig& schedules) {
  return {{"lr", &schedules.lr},
          {"weight_decay", &schedules.weight_decay},
          {"momentum", &schedules.momentum},
          {"larc_trust", &schedules.larc_trust},
          {"temperature", &schedules.temperature},
          {"epsilon", &schedules.epsilon}};
}

absl::Status CheckOptim(const OptimConfig& optim) {
  if (optim.total_steps < 1)
    return Bad("optim.total_steps", absl::StrCat(optim.total_steps, " steps are none"));
  if (optim.warmup_steps < 0 || optim.warmup_steps > optim.total_steps) {
    return Bad("optim.warmup_steps",
               absl::StrCat(optim.warmup_steps, " warm-up steps of ", optim.total_steps));
  }
  if (!(optim.momentum >= 0 && optim.momentum < 1))
    return Bad("optim.momentum", absl::StrCat("momentum is ", optim.momentum, ", not in [0, 1)"));
  if (!(optim.weight_decay >= 0)) return Bad("optim.weight_decay", "weight decay is negative");
  for (const auto& [name, schedule] : Named(optim.schedules)) {
    for (const SchedulePhase& phase : schedule->phases) {
      if (phase.steps < 1)
        return Bad(absl::StrCat("optim.schedules.", name),
                   absl::StrCat("a phase of ", phase.steps, " steps"));
    }
  }
  if (!(optim.base_lr >= 0)) return Bad("optim.base_lr", "the learning rate is negative");
  if (!(optim.clip_norm >= 0)) return Bad("optim.clip_norm", "the norm to clip to is negative");
  if (!(optim.ema_decay >= 0 && optim.ema_decay < 1))
    return Bad("optim.ema_decay",
               absl::StrCat("the mean's decay is ", optim.ema_decay, ", not in [0, 1)"));
  for (const ParameterGroup& group : optim.groups) {
    if (!(group.lr_scale >= 0 && group.weight_decay.value_or(0) >= 0))
      return Bad("optim.groups", absl::StrCat("group ", group.match, ": a number below 0"));
  }
  if (!(optim.lars.trust > 0))
    return Bad("optim.lars.trust", absl::StrCat("trust is ", optim.lars.trust, ", not above 0"));
  for (const double beta : {optim.adamw.beta1, optim.adamw.beta2}) {
    if (!(beta >= 0 && beta < 1))
      return Bad("optim.adamw", absl::StrCat("a beta is ", beta, ", not in [0, 1)"));
  }
  if (!(optim.adamw.epsilon > 0))
    return Bad("optim.adamw.epsilon",
               absl::StrCat("epsilon is ", optim.adamw.epsilon, ", not above 0"));
  return absl::OkStatus();
}

// For the digest: all that the trunk's numbers depend on.
std::string TrunkText(const TrunkConfig& trunk) {
  if (trunk.resnet) {
    const ResnetParams& r = *trunk.resnet;
    return absl::StrCat("resnet ", absl::StrJoin(r.blocks, ","), " ", r.groups, " ",
                        r.width_per_group, " ", r.stem_width, " ", trunk.stem_stride);
  }
  const RegnetParams& r = trunk.regnet;
  return absl::StrCat("trunk ", r.depth, " ", r.w_0, " ", r.w_a, " ", r.w_m, " ", r.group_width,
                      " ", r.se_ratio, " ", trunk.stem_stride);
}

}  // namespace

int TotalViews(const TrainConfig& config) {
  int views = 0;
  for (const CropGroup& group : config.crops) views += group.views;
  return views;
}

absl::Status CheckConfig(const TrainConfig& config, const RankConfig& rank) {
  if (rank.world_size < 1 || rank.rank < 0 || rank.rank >= rank.world_size) {
    return Bad("rank", absl::StrCat("rank ", rank.rank, " of a world of ", rank.world_size));
  }
  if (rank.threads < 1) return Bad("threads", absl::StrCat(rank.threads, " threads are none"));
  if (config.crops.empty()) return Bad("crops", "there are no crops");
  for (const CropGroup& group : config.crops) {
    if (group.views < 1 || group.size < 1) {
      return Bad("crops", absl::StrCat(group.views, " views of ", group.size, " pixels"));
    }
  }
  if (config.global_batch < 1 || config.global_batch % rank.world_size != 0) {
    return Bad("global_batch",
               absl::StrCat("a global batch of ", config.global_batch, " is not divisible by ",
                            rank.world_size, " ranks"),
               "take a multiple of the number of ranks");
  }
  if (config.accumulation_steps < 1 ||
      config.global_batch / rank.world_size % config.accumulation_steps != 0) {
    return Bad("accumulation_steps",
               absl::StrCat("a rank's ", config.global_batch / rank.world_size,
                            " images do not divide into ", config.accumulation_steps, " parts"));
  }
  const int shards = config.distributed.shard_group_size;
  if (shards < 0 || (shards > 0 && rank.world_size % shards != 0)) {
    return Bad("distributed.shard_group_size",
               absl::StrCat(rank.world_size, " ranks do not divide into groups of ", shards));
  }
  if (config.head.output_dim < 1) return Bad("head.output_dim", "the head's output is empty");
  for (const int64_t prototypes : config.head.extra_prototypes) {
    if (prototypes < 2)
      return Bad("head.extra_prototypes", absl::StrCat(prototypes, " prototypes; at least 2"));
  }
  if (config.head.prototypes < 2)
    return Bad("head.prototypes", absl::StrCat(config.head.prototypes, " prototypes; at least 2"));
  for (const int64_t width : config.head.hidden) {
    if (width < 1) return Bad("head.hidden", absl::StrCat("a hidden layer of width ", width));
  }
  if (config.distributed.sync_bn_group_size < 0)
    return Bad("distributed.sync_bn_group_size", "the group's size is negative");
  if (config.distributed.bucket_bytes < 1)
    return Bad("distributed.bucket_bytes", "a bucket holds at least 1 byte");
  if (!(config.distributed.collective_timeout_seconds > 0)) {
    return Bad("distributed.collective_timeout_seconds", "the time limit is not above 0");
  }
  if (!(config.loss_scale.initial >= 1) || config.loss_scale.growth_interval < 1)
    return Bad("loss_scale",
               absl::StrCat("an initial scale of ", config.loss_scale.initial, " that grows every ",
                            config.loss_scale.growth_interval, " steps"));
  if (config.distributed.backend == CollectiveBackend::kNccl && rank.device == "cpu") {
    return Bad("distributed.backend", "NCCL connects GPUs, and the device of this rank is cpu",
               "set distributed.backend to auto, or start workers with --device-kind cuda");
  }
  SEER_RETURN_IF_ERROR(CheckPhotometry(config.photometry));
  SEER_RETURN_IF_ERROR(CheckSwav(config));
  return CheckOptim(config.optim);
}

absl::Status CheckPhotometry(const PhotometryConfig& photometry) {
  if (photometry.mean.size() != 3 || photometry.std.size() != 3) {
    return Bad("photometry", "mean and std need 3 numbers each, one a channel");
  }
  for (const float std : photometry.std) {
    if (!(std > 0)) return Bad("photometry.std", absl::StrCat("a std of ", std));
  }
  if (!(photometry.jitter_strength >= 0))
    return Bad("photometry.jitter_strength", "the strength is negative");
  for (const double probability : {photometry.jitter_probability, photometry.grey_probability,
                                   photometry.blur_probability, photometry.solarize_probability}) {
    if (!(probability >= 0 && probability <= 1)) {
      return Bad("photometry", absl::StrCat("a probability of ", probability, ", not in 0 to 1"));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckCrops(const Batch& batch) {
  if (batch.crops.empty()) return Bad("batch.crops", "the batch has no crops");
  for (size_t g = 0; g < batch.crops.size(); ++g) {
    const CropTensor& crop = batch.crops[g];
    if (crop.views < 1 || crop.samples < 1 || crop.size < 1 ||
        crop.samples != batch.crops[0].samples) {
      return Bad("batch.crops", absl::StrCat("crop group ", g, " has ", crop.views, " views of ",
                                             crop.samples, " samples"));
    }
    const int64_t bytes = int64_t{3} * crop.views * crop.samples * crop.size * crop.size;
    if (static_cast<int64_t>(crop.pixels.size()) != bytes) {
      return Bad("batch.crops", absl::StrCat("crop group ", g, " has ", crop.pixels.size(),
                                             " bytes, not ", bytes));
    }
  }
  const auto samples = static_cast<size_t>(batch.crops[0].samples);
  if (!batch.labels.empty() && batch.labels.size() != samples) {
    return Bad("batch.labels",
               absl::StrCat(batch.labels.size(), " labels for ", samples, " samples"));
  }
  return absl::OkStatus();
}

absl::Status CheckBatch(const TrainConfig& config, int world_size, int64_t step,
                        const Batch& batch) {
  if (batch.step != step)
    return Bad("batch.step",
               absl::StrCat("the batch is of step ", batch.step, ", the next step is ", step));
  SEER_RETURN_IF_ERROR(CheckCrops(batch));
  if (batch.crops.size() != config.crops.size()) {
    return Bad("batch.crops",
               absl::StrCat(batch.crops.size(), " crop groups, not ", config.crops.size()));
  }
  const int64_t samples = config.global_batch / world_size;
  for (size_t g = 0; g < batch.crops.size(); ++g) {
    const CropTensor& crop = batch.crops[g];
    if (crop.views != config.crops[g].views || crop.size != config.crops[g].size ||
        crop.samples != samples) {
      return Bad("batch.crops",
                 absl::StrCat("crop group ", g, " is ", crop.views, " views x ", crop.samples,
                              " samples x ", crop.size, " pixels, not ", config.crops[g].views,
                              " x ", samples, " x ", config.crops[g].size));
    }
  }
  return absl::OkStatus();
}

std::string ConfigDigest(const TrainConfig& c) {
  std::string text =
      absl::StrCat(TrunkText(c.trunk), "\nhead ", absl::StrJoin(c.head.hidden, ","), " ",
                   c.head.output_dim, " ", c.head.batch_norm, " ", c.head.prototypes);
  absl::StrAppend(&text, "\nswav ", c.swav.temperature, " ", c.swav.epsilon, " ",
                  c.swav.sinkhorn_iterations, " ", c.swav.assign_views, " ", c.swav.queue_length,
                  " ", c.swav.queue_start_step, " ", c.swav.freeze_prototypes_steps, " ",
                  static_cast<int>(c.swav.sinkhorn_domain), " ", c.swav.power_law_exponent, " ",
                  c.swav.hard_code_steps);
  absl::StrAppend(&text, "\noptim ", c.optim.momentum, " ", c.optim.weight_decay, " ",
                  c.optim.nesterov, " ", c.optim.decay_norm_and_bias, " ", c.optim.larc.enabled,
                  " ", c.optim.larc.trust, " ", c.optim.larc.clip, " ", c.optim.larc.epsilon);
  // Only where they are used, so that the digest of other jobs is what it was before they were
  // there.
  if (c.optim.kind == OptimizerKind::kLars) absl::StrAppend(&text, "\nlars ", c.optim.lars.trust);
  if (c.optim.kind == OptimizerKind::kAdamW) {
    absl::StrAppend(&text, "\nadamw ", c.optim.adamw.beta1, " ", c.optim.adamw.beta2, " ",
                    c.optim.adamw.epsilon);
  }
  if (!c.head.extra_prototypes.empty())
    absl::StrAppend(&text, "\nextra prototypes ", absl::StrJoin(c.head.extra_prototypes, ","));
  if (c.accumulation_steps > 1) absl::StrAppend(&text, "\nparts ", c.accumulation_steps);
  if (!c.weights.uri.empty()) {
    absl::StrAppend(&text, "\nweights ", c.weights.uri, " ",
                    c.weights.names ? static_cast<int>(*c.weights.names) : -1);
  }
  if (c.optim.clip_norm > 0) absl::StrAppend(&text, "\nclip ", c.optim.clip_norm);
  for (const ParameterGroup& g : c.optim.groups) {
    absl::StrAppend(&text, "\ngroup ", g.match, " ", g.lr_scale, " ", g.weight_decay.value_or(-1),
                    " ", g.adapt ? (*g.adapt ? 1 : 0) : -1);
  }
  if (c.precision == Precision::kFp16)
    absl::StrAppend(&text, "\nloss scale ", c.loss_scale.initial, " ",
                    c.loss_scale.growth_interval);
  if (c.optim.ema_decay > 0) absl::StrAppend(&text, "\nema ", c.optim.ema_decay);
  absl::StrAppend(&text, "\nschedule ", c.optim.base_lr, " ", c.optim.start_lr, " ",
                  c.optim.final_lr, " ", c.optim.warmup_steps, " ", c.optim.total_steps);
  for (const auto& [name, schedule] : Named(c.optim.schedules)) {
    for (const SchedulePhase& phase : schedule->phases) {
      absl::StrAppend(&text, "\n", name, " phase ", static_cast<int>(phase.shape), " ", phase.start,
                      " ", phase.end, " ", phase.steps);
    }
  }
  absl::StrAppend(&text, "\nphotometry ", c.photometry.jitter_strength, " ",
                  c.photometry.jitter_probability, " ", c.photometry.grey_probability, " ",
                  c.photometry.blur_probability, " ", c.photometry.solarize_probability, " ",
                  absl::StrJoin(c.photometry.mean, ","), " ", absl::StrJoin(c.photometry.std, ","));
  absl::StrAppend(&text, "\nbn group ", c.distributed.sync_bn_group_size, "\nprecision ",
                  static_cast<int>(c.precision), "\nbatch ", c.global_batch, "\nseed ", c.seed,
                  "\ncrops");
  for (const CropGroup& group : c.crops) absl::StrAppend(&text, " ", group.views, "x", group.size);
  return Sha256Hex(text);
}

}  // namespace seer::engine
