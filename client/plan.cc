#include "client/plan.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "client/output.h"
#include "common/base/status_macros.h"
#include "common/spec/trunk.h"
#include "engine/arch/memory_plan.h"

namespace seer::client {

namespace {

// Numbers that the optimiser keeps for each parameter (AdamW's step counts, one a tensor, aside),
// and the weights' mean.
int OptimizerNumbers(const v1::OptimSpec& optim) {
  return (optim.kind() == v1::OPTIMIZER_KIND_ADAMW ? 2 : 1) + (optim.ema_decay() > 0 ? 1 : 0);
}

absl::StatusOr<engine::MemoryPlan> PlanMemory(const v1::MemorySpec& spec,
                                              const engine::MemoryDemand& demand) {
  if (spec.recompute() == v1::RECOMPUTE_MODE_BUDGET)
    return engine::FitMemory(demand, spec.budget_bytes());
  const size_t segments = demand.resolutions.front().cost.segments.size();
  std::vector<bool> recompute(segments, spec.recompute() == v1::RECOMPUTE_MODE_ALL);
  if (spec.recompute() == v1::RECOMPUTE_MODE_LIST) {
    for (const int index : spec.recompute_segments()) {
      // The head, which follows the trunk in the chain, is too small to count.
      if (index >= 0 && static_cast<size_t>(index) < segments)
        recompute[static_cast<size_t>(index)] = true;
    }
  }
  return engine::CountMemory(demand, std::move(recompute));
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

}  // namespace

absl::StatusOr<std::vector<std::pair<std::string, std::string>>> PlanJob(const v1::JobSpec& spec) {
  const auto& t = spec.model().trunk();
  SEER_ASSIGN_OR_RETURN(const engine::TrunkConfig trunk, ToTrunkConfig(t));
  SEER_ASSIGN_OR_RETURN(const auto stages, engine::TrunkStages(trunk));
  int64_t parameters = 0;
  double flops = 0;
  engine::MemoryDemand demand;
  const int64_t local = spec.data().global_batch() / spec.distributed().ranks();
  for (const auto& crop : spec.augment().crops()) {
    SEER_ASSIGN_OR_RETURN(const engine::TrunkCost cost, engine::CountTrunk(trunk, crop.size()));
    parameters = cost.parameters;
    flops += cost.flops_per_image * crop.views();
    demand.resolutions.push_back({cost, crop.views() * local});
  }
  int64_t width = stages.back().width, head = 0;
  for (int64_t hidden : spec.model().head().hidden()) {
    head += width * hidden + hidden + (spec.model().head().batch_norm() ? 2 * hidden : 0);
    width = hidden;
  }
  head += width * spec.model().head().output_dim() + spec.model().head().output_dim();
  head += spec.model().head().output_dim() * spec.loss().swav().prototypes();
  const int64_t all = parameters + head;
  const v1::OptimizerKind kind = spec.optim().kind();
  demand.parameters = all;
  demand.optimizer_numbers = OptimizerNumbers(spec.optim());
  const int64_t state_bytes = all * 4 * demand.optimizer_numbers;
  demand.bytes_per_activation = spec.precision().mode() == v1::PRECISION_MODE_BF16 ? 2 : 4;
  SEER_ASSIGN_OR_RETURN(const engine::MemoryPlan memory, PlanMemory(spec.memory(), demand));
  std::vector<std::string> blocks, widths;
  for (const auto& stage : stages) {
    blocks.push_back(absl::StrCat(stage.blocks));
    widths.push_back(absl::StrCat(stage.width));
  }
  const double images =
      static_cast<double>(spec.optim().steps()) * static_cast<double>(spec.data().global_batch());
  std::vector<std::pair<std::string, std::string>> lines = {
      {"Trunk", absl::StrCat(t.preset().empty() ? "regnet" : t.preset(), ", stages ",
                             absl::StrJoin(blocks, "/"), ", widths ", absl::StrJoin(widths, "/"))},
      {"Parameters",
       absl::StrFormat("%.2f M (trunk %.2f M, head and prototypes %.2f M)",
                       static_cast<double>(all) / 1e6, static_cast<double>(parameters) / 1e6,
                       static_cast<double>(head) / 1e6)},
      {"Work", absl::StrFormat(
                   "%.2f GFLOP an image forward, all crops; about three times that a training step",
                   flops / 1e9)},
      {"Memory a rank",
       absl::StrCat("weights ", FormatBytes(all * 4), ", gradients ", FormatBytes(all * 4), ", ",
                    kind == v1::OPTIMIZER_KIND_ADAMW ? "two moments " : "momentum ",
                    spec.optim().ema_decay() > 0 ? "and mean of the weights " : "",
                    FormatBytes(state_bytes), ", activations about ",
                    FormatBytes(memory.activation_bytes + memory.transient_bytes), "; about ",
                    FormatBytes(memory.peak_bytes()), " in all")},
      {"Recompute", Recomputed(memory)},
      {"Traffic a step", spec.distributed().ranks() > 1
                             ? absl::StrCat(FormatBytes(all * 4), " of gradients reduced over ",
                                            spec.distributed().ranks(), " ranks")
                             : "none: one rank"},
      {"Ranks", absl::StrCat(spec.distributed().ranks(), " x ", local, " images")}};
  if (spec.kind() != v1::JOB_KIND_EVAL_KNN) {
    lines.emplace_back("Steps",
                       absl::StrFormat("%d of %d images: %.0f images", spec.optim().steps(),
                                       spec.data().global_batch(), images));
    for (auto& line : ScheduleLines(spec.optim())) lines.push_back(std::move(line));
    lines.emplace_back("Checkpoints", absl::StrFormat("every %d steps, %s each, the last %d kept",
                                                      spec.checkpoint().every_steps(),
                                                      FormatBytes(all * 4 + state_bytes),
                                                      spec.checkpoint().keep_last()));
  }
  return lines;
}

}  // namespace seer::client
