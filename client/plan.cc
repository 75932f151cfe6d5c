#include "client/plan.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "client/output.h"
#include "common/base/process.h"
#include "common/base/status_macros.h"
#include "common/spec/elastic.h"
#include "common/spec/schedule.h"
#include "common/spec/trunk.h"
#include "engine/optim/schedule.h"

namespace seer::client {

namespace {

constexpr size_t kCurvePoints = 48;

absl::StatusOr<engine::NetworkCost> CountCost(const v1::JobSpec& spec) {
  engine::NetworkShape shape;
  SEER_ASSIGN_OR_RETURN(shape.trunk, ToTrunkConfig(spec.model().trunk()));
  const v1::HeadSpec& head = spec.model().head();
  shape.hidden.assign(head.hidden().begin(), head.hidden().end());
  shape.output_dim = head.output_dim();
  shape.head_batch_norm = head.batch_norm();
  const v1::SwavSpec& swav = spec.loss().swav();
  shape.prototypes = {swav.prototypes()};
  shape.prototypes.insert(shape.prototypes.end(), swav.extra_prototypes().begin(),
                          swav.extra_prototypes().end());
  for (const v1::CropSpec& crop : spec.augment().crops())
    shape.crops.push_back({crop.views(), crop.size()});
  return engine::CountNetwork(shape);
}

engine::StepShape CountStep(const v1::JobSpec& spec) {
  engine::StepShape step;
  const auto group = [&](int size) { return size == 0 ? spec.distributed().ranks() : size; };
  step.ranks = spec.distributed().ranks();
  step.images = spec.data().global_batch() / step.ranks;
  step.parts = spec.optim().accumulation_steps();
  step.norm_group = group(spec.distributed().sync_bn_group_size());
  step.shard_group = group(spec.distributed().shard_group_size());
  step.offload = spec.memory().offload_optimizer();
  // AdamW's step counts, one a tensor, aside.
  step.optimizer_numbers = (spec.optim().kind() == v1::OPTIMIZER_KIND_ADAMW ? 2 : 1) +
                           (spec.optim().ema_decay() > 0 ? 1 : 0);
  const v1::PrecisionMode mode = spec.precision().mode();
  step.bytes_per_activation =
      mode == v1::PRECISION_MODE_BF16 || mode == v1::PRECISION_MODE_FP16 ? 2 : 4;
  step.bucket_bytes = spec.distributed().bucket_bytes();
  const v1::SwavSpec& swav = spec.loss().swav();
  step.assign_views = swav.assign_views();
  step.sinkhorn_iterations = swav.sinkhorn_iterations();
  step.log_sinkhorn = swav.sinkhorn_domain() != v1::SINKHORN_DOMAIN_PLAIN;
  step.queue = swav.queue_length() > 0;
  return step;
}

absl::StatusOr<engine::MemoryPlan> PlanMemory(const v1::MemorySpec& spec,
                                              const engine::NetworkCost& cost,
                                              const engine::StepShape& step) {
  if (spec.recompute() == v1::RECOMPUTE_MODE_BUDGET)
    return engine::FitMemory(cost, step, spec.budget_bytes());
  const size_t segments = cost.resolutions.front().trunk.segments.size();
  std::vector<bool> recompute(segments, spec.recompute() == v1::RECOMPUTE_MODE_ALL);
  if (spec.recompute() == v1::RECOMPUTE_MODE_LIST) {
    for (const int index : spec.recompute_segments()) {
      // The head, which follows the trunk in the chain, is too small to count.
      if (index >= 0 && static_cast<size_t>(index) < segments)
        recompute[static_cast<size_t>(index)] = true;
    }
  }
  return engine::CountMemory(cost, step, std::move(recompute));
}

std::vector<double> LearningRates(const v1::OptimSpec& optim) {
  engine::OptimConfig config;
  config.base_lr = optim.lr();
  config.start_lr = optim.start_lr();
  config.final_lr = optim.final_lr();
  config.warmup_steps = optim.warmup_steps();
  config.total_steps = optim.steps();
  config.schedules = ToSchedules(optim);
  const int64_t points = std::min<int64_t>(optim.steps(), kCurvePoints);
  std::vector<double> rates;
  for (int64_t i = 0; i < points; ++i)
    rates.push_back(
        engine::LearningRate(config, points == 1 ? 0 : (optim.steps() - 1) * i / (points - 1)));
  return rates;
}

TimePlan PlanTime(const v1::JobSpec& spec, const JobPlan& plan, const Calibration& calibration,
                  const Calibration::Precision& precision) {
  TimePlan time;
  time.step = engine::PredictStep(precision.constants,
                                  engine::CountWork(plan.cost, plan.step, plan.memory.recompute));
  time.traffic = engine::PredictTraffic(calibration.link, plan.traffic, time.step.network);
  time.error = precision.error;
  time.job_seconds = time.step_seconds() * static_cast<double>(spec.optim().steps());
  return time;
}

// "segments 1 2 3 of 0 to 14; 31 % of the forward pass is run again"
std::string Recomputed(const engine::MemoryPlan& plan) {
  std::vector<size_t> chosen;
  for (size_t i = 0; i < plan.recompute.size(); ++i) {
    if (plan.recompute[i]) chosen.push_back(i);
  }
  if (chosen.empty()) return "none";
  return absl::StrFormat("segments %s of 0 to %d; %.0f %% of the forward pass is run again",
                         absl::StrJoin(chosen, " "), plan.recompute.size() - 1,
                         100 * plan.extra_forward_ratio);
}

// "0.15 at step 0, linear to 9.6 at step 99, cosine to 0.0096 at step 500, which holds"
std::string PhasesText(const v1::ScheduleSpec& schedule, int64_t job_steps) {
  std::string text;
  int64_t step = 0;
  double before = 0;
  for (const v1::SchedulePhase& phase : schedule.phases()) {
    if (text.empty() || phase.start() != before)
      absl::StrAppendFormat(&text, "%s%g at step %d", text.empty() ? "" : ", ", phase.start(),
                            step);
    step += phase.steps();
    if (phase.shape() == v1::SCHEDULE_SHAPE_LINEAR)
      absl::StrAppendFormat(&text, ", linear to %g at step %d", phase.end(), step - 1);
    if (phase.shape() == v1::SCHEDULE_SHAPE_COSINE)
      absl::StrAppendFormat(&text, ", cosine to %g at step %d", phase.end(), step);
    before = phase.end();
  }
  if (step < job_steps) absl::StrAppend(&text, ", which holds");
  if (step > job_steps) absl::StrAppendFormat(&text, "; the job ends with step %d", job_steps - 1);
  return text;
}

std::string ValueName(v1::ScheduledValue value) {
  switch (value) {
    case v1::SCHEDULED_VALUE_LR:
      return "Learning rate";
    case v1::SCHEDULED_VALUE_WEIGHT_DECAY:
      return "Weight decay";
    case v1::SCHEDULED_VALUE_MOMENTUM:
      return "Momentum";
    case v1::SCHEDULED_VALUE_LARC_TRUST:
      return "LARC's trust";
    case v1::SCHEDULED_VALUE_TEMPERATURE:
      return "Temperature";
    case v1::SCHEDULED_VALUE_EPSILON:
      return "Epsilon";
    default:
      return absl::StrCat("Value ", static_cast<int>(value));  // of a newer version
  }
}

// The learning rate's line first, then one for each other value that changes.
std::vector<std::pair<std::string, std::string>> ScheduleLines(const v1::OptimSpec& optim) {
  std::pair<std::string, std::string> rate = {
      ValueName(v1::SCHEDULED_VALUE_LR),
      absl::StrFormat("%g to %g over %d steps, then cosine to %g", optim.start_lr(), optim.lr(),
                      optim.warmup_steps(), optim.final_lr())};
  std::vector<std::pair<std::string, std::string>> others;
  for (const v1::ScheduleSpec& schedule : optim.schedules()) {
    std::string text = PhasesText(schedule, optim.steps());
    if (schedule.value() == v1::SCHEDULED_VALUE_LR) {
      rate.second = std::move(text);
    } else {
      others.emplace_back(ValueName(schedule.value()), std::move(text));
    }
  }
  others.insert(others.begin(), std::move(rate));
  return others;
}

// "*.bias: learning rate x 0.5, weight decay 0, no layer-wise rate"
std::string GroupText(const v1::ParameterGroupSpec& group) {
  std::vector<std::string> rules;
  if (group.lr_scale() == 0) rules.push_back("frozen");
  if (group.lr_scale() != 0 && group.lr_scale() != 1)
    rules.push_back(absl::StrFormat("learning rate x %g", group.lr_scale()));
  if (group.has_weight_decay())
    rules.push_back(absl::StrFormat("weight decay %g", group.weight_decay()));
  if (group.has_adapt()) rules.push_back(group.adapt() ? "layer-wise rate" : "no layer-wise rate");
  return absl::StrCat(group.match(), ": ",
                      rules.empty() ? "as without a group" : absl::StrJoin(rules, ", "));
}

// "▁▂▄█", from 0 to the largest.
std::string Curve(const std::vector<double>& values) {
  static constexpr const char* kBars[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
  const double top = *std::max_element(values.begin(), values.end());
  std::string text;
  for (const double value : values) {
    const double share = top > 0 ? std::max(0.0, value) / top : 0;
    text += kBars[std::min<size_t>(7, static_cast<size_t>(share * 8))];
  }
  return text;
}

std::string Counted(int64_t number, absl::string_view what) {
  return absl::StrCat(number, " ", what, number == 1 ? "" : "s");
}

std::string MemoryText(const v1::JobSpec& spec, const engine::MemoryPlan& memory) {
  std::string text = absl::StrCat("weights ", FormatBytes(memory.weight_bytes), ", gradients ",
                                  FormatBytes(memory.gradient_bytes), ", ");
  const int64_t state = memory.optimizer_bytes;
  if (memory.host_bytes == 0) {
    absl::StrAppend(
        &text, spec.optim().kind() == v1::OPTIMIZER_KIND_ADAMW ? "two moments " : "momentum ",
        spec.optim().ema_decay() > 0 ? "and mean of the weights " : "", FormatBytes(state), ", ");
  }
  if (memory.gathered_bytes > 0)
    absl::StrAppend(&text, "whole segments in use ", FormatBytes(memory.gathered_bytes), ", ");
  absl::StrAppend(&text, "activations ", FormatBytes(memory.activation_bytes),
                  ", gradients of activations and what is recomputed ",
                  FormatBytes(memory.transient_bytes), "; about ", FormatBytes(memory.peak_bytes()),
                  " in all");
  if (memory.host_bytes > 0)
    absl::StrAppend(&text, ", and the optimizer's ", FormatBytes(memory.host_bytes),
                    " in host memory");
  return text;
}

std::string ShardingText(const engine::StepShape& step) {
  std::string text = "none: every rank holds all of the state";
  if (step.shard_group > 1) {
    text = absl::StrCat("one copy of the state over ", step.shard_group, " ranks, ",
                        step.ranks / step.shard_group == 1
                            ? "1 copy"
                            : absl::StrCat(step.ranks / step.shard_group, " copies"));
  }
  return absl::StrCat(text, step.offload ? "; the optimizer's part in host memory" : "");
}

std::string NormText(const engine::StepShape& step) {
  if (step.norm_group == 1) return "each rank has batch statistics of its own";
  return absl::StrCat(Counted(step.ranks / step.norm_group, "group"), " of ", step.norm_group,
                      " ranks");
}

// "gradients: 2 all-reduces, 12.7 MiB over 2 ranks; …"
std::string TrafficText(const engine::StepTraffic& traffic, const engine::StepShape& step) {
  std::vector<std::string> kinds;
  const auto add = [&](const char* name, const char* collective, const engine::Collectives& c) {
    if (c.count == 0) return;
    kinds.push_back(absl::StrCat(name, ": ", Counted(c.count, collective), ", ",
                                 FormatBytes(c.bytes), " over ", c.group, " ranks"));
  };
  add("gradients", step.shard_group > 1 ? "reduce-scatter" : "all-reduce", traffic.gradients);
  add("gradients between copies", "all-reduce", traffic.replica_gradients);
  add("weights", "all-gather", traffic.weights);
  add("batch statistics", "all-reduce", traffic.norms);
  add("codes", "all-reduce", traffic.codes);
  add("numbers", "collective", traffic.numbers);
  return kinds.empty() ? "none: one rank" : absl::StrJoin(kinds, "; ");
}

std::vector<std::pair<std::string, std::string>> TimeLines(const v1::JobSpec& spec,
                                                           const JobPlan& plan,
                                                           const Calibration* calibration) {
  if (!plan.time || calibration == nullptr)
    return {{"Time", absl::StrCat("unknown: ", plan.no_time)}};
  const TimePlan& time = *plan.time;
  const double ranks = plan.step.ranks;
  std::string step = absl::StrFormat("%.3g s a step (network %.3g, photometry %.3g, optimizer %.3g",
                                     time.step_seconds(), time.step.network, time.step.augment,
                                     time.step.optimizer);
  if (plan.step.ranks > 1)
    absl::StrAppendFormat(&step, ", waiting for collectives %.3g", time.traffic.seconds());
  absl::StrAppendFormat(&step, "): %.3g images/s, if data keeps up",
                        static_cast<double>(spec.data().global_batch()) / time.step_seconds());
  std::string source = absl::StrFormat("%s: %s, %s, %s, %s, measured %s", calibration->file,
                                       calibration->host, calibration->cpu, calibration->device,
                                       Counted(calibration->threads, "thread"), calibration->date);
  if (calibration->host != HostName()) absl::StrAppend(&source, "; not this machine");
  const int threads = spec.distributed().threads_per_rank();
  if (!calibration->gpu() && threads != 0 && threads != calibration->threads)
    absl::StrAppend(&source, "; the job's ranks have ", Counted(threads, "thread"));
  if (plan.step.ranks > 2)
    absl::StrAppend(&source, "; collectives as between two processes of one machine");
  return {{"Time", step},
          {"Whole job",
           absl::StrFormat("%s, %.3g %s; the model is %.0f %% off on average, %.0f %% at most, on "
                           "%s it was not fitted to",
                           FormatSeconds(time.job_seconds), time.job_seconds * ranks / 3600,
                           calibration->gpu() ? "GPU-hours" : "rank-hours", 100 * time.error.mean,
                           100 * time.error.largest, Counted(time.error.steps, "step"))},
          {"Calibration", source}};
}

std::string StartText(const StartPlan& start) {
  if (start.why_not.empty()) return absl::StrCat("now, on ", start.machines);
  return absl::StrCat(start.when.empty() ? "not now" : absl::StrCat("about ", start.when), ": ",
                      start.why_not);
}

// "; elastic: down to 2 ranks x 128 images, in 2 parts; 1 spare device"; empty: neither.
std::string ElasticText(const v1::JobSpec& spec) {
  std::string text;
  if (const int least = WorldSizes(spec).back(); least < spec.distributed().ranks()) {
    text = absl::StrCat("; elastic: down to ", Counted(least, "rank"), " x ",
                        spec.data().global_batch() / least, " images, in ",
                        Counted(AccumulationSteps(spec, least), "part"));
  }
  if (const int spares = spec.distributed().spare_ranks(); spares > 0)
    absl::StrAppend(&text, "; ", Counted(spares, "spare device"));
  return text;
}

}  // namespace

absl::StatusOr<JobPlan> PlanJob(const v1::JobSpec& spec, const Calibration* calibration) {
  JobPlan plan;
  SEER_ASSIGN_OR_RETURN(plan.cost, CountCost(spec));
  SEER_ASSIGN_OR_RETURN(const engine::TrunkConfig trunk, ToTrunkConfig(spec.model().trunk()));
  SEER_ASSIGN_OR_RETURN(plan.stages, engine::TrunkStages(trunk));
  plan.step = CountStep(spec);
  SEER_ASSIGN_OR_RETURN(plan.memory, PlanMemory(spec.memory(), plan.cost, plan.step));
  plan.traffic = engine::CountTraffic(plan.cost, plan.step);
  plan.checkpoint_bytes =
      plan.cost.parameters() * 4 * (1 + static_cast<int64_t>(plan.step.optimizer_numbers));
  if (spec.kind() == v1::JOB_KIND_EVAL_KNN) return plan;
  plan.learning_rates = LearningRates(spec.optim());
  if (calibration == nullptr) {
    plan.no_time = "run `seer job plan --calibrate`, once a machine";
    return plan;
  }
  const Calibration::Precision* precision = calibration->Find(spec.precision().mode());
  if (precision != nullptr) {
    plan.time = PlanTime(spec, plan, *calibration, *precision);
  } else {
    plan.no_time =
        absl::StrCat(calibration->file, " has no steps of ",
                     EnumName(v1::PrecisionMode_Name(spec.precision().mode()), "PRECISION_MODE_"));
  }
  return plan;
}

std::vector<std::pair<std::string, std::string>> PlanLines(const v1::JobSpec& spec,
                                                           const JobPlan& plan,
                                                           const Calibration* calibration) {
  std::vector<std::string> blocks, widths;
  for (const auto& stage : plan.stages) {
    blocks.push_back(absl::StrCat(stage.blocks));
    widths.push_back(absl::StrCat(stage.width));
  }
  const std::string& preset = spec.model().trunk().preset();
  const auto all = static_cast<double>(plan.cost.parameters());
  const auto in_trunk = static_cast<double>(plan.cost.trunk_parameters());
  std::string ranks = absl::StrCat(plan.step.ranks, " x ", plan.step.images, " images");
  if (plan.step.parts > 1)
    absl::StrAppend(&ranks, ", in ", plan.step.parts, " parts of ",
                    plan.step.images / plan.step.parts);
  absl::StrAppend(&ranks, ElasticText(spec));
  std::vector<std::pair<std::string, std::string>> lines = {
      {"Trunk", absl::StrCat(preset.empty() ? "regnet" : preset, ", stages ",
                             absl::StrJoin(blocks, "/"), ", widths ", absl::StrJoin(widths, "/"))},
      {"Parameters", absl::StrFormat("%.2f M (trunk %.2f M, head and prototypes %.2f M)", all / 1e6,
                                     in_trunk / 1e6, (all - in_trunk) / 1e6)},
      {"Work",
       absl::StrFormat("%.3g GFLOP (multiply-adds) an image forward, all crops; about three "
                       "times that a training step",
                       plan.cost.multiply_adds_per_image() / 1e9)},
      {"Memory a rank", MemoryText(spec, plan.memory)},
      {"Recompute", Recomputed(plan.memory)},
      {"Ranks", ranks},
      {"Sharding", ShardingText(plan.step)},
      {"Batch norm", NormText(plan.step)},
      {"Traffic a step", TrafficText(plan.traffic, plan.step)}};
  if (plan.start) lines.emplace_back("Starts", StartText(*plan.start));
  if (spec.kind() == v1::JOB_KIND_EVAL_KNN) return lines;
  lines.emplace_back("Steps", absl::StrFormat("%d of %d images: %d images", spec.optim().steps(),
                                              spec.data().global_batch(),
                                              spec.optim().steps() * spec.data().global_batch()));
  for (auto& line : ScheduleLines(spec.optim())) lines.push_back(std::move(line));
  lines.emplace_back("Its curve", Curve(plan.learning_rates));
  for (int i = 0; i < spec.optim().groups_size(); ++i)
    lines.emplace_back(absl::StrCat("Group ", i), GroupText(spec.optim().groups(i)));
  lines.emplace_back(
      "Checkpoints",
      absl::StrFormat("every %d steps, %s each, the last %d kept", spec.checkpoint().every_steps(),
                      FormatBytes(plan.checkpoint_bytes), spec.checkpoint().keep_last()));
  for (auto& line : TimeLines(spec, plan, calibration)) lines.push_back(std::move(line));
  return lines;
}

}  // namespace seer::client
