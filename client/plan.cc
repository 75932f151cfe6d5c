#include "client/plan.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "client/output.h"
#include "common/base/status_macros.h"
#include "engine/arch/regnet_design.h"

namespace seer::client {

namespace {

// Numbers that the optimiser keeps for each parameter (AdamW's step counts, one a tensor, aside).
int64_t OptimizerNumbers(v1::OptimizerKind kind) {
  return kind == v1::OPTIMIZER_KIND_ADAMW ? 2 : 1;
}

}  // namespace

absl::StatusOr<std::vector<std::pair<std::string, std::string>>> PlanJob(const v1::JobSpec& spec) {
  engine::TrunkConfig trunk;
  const auto& t = spec.model().trunk();
  if (!t.preset().empty()) {
    SEER_ASSIGN_OR_RETURN(trunk.regnet, engine::RegnetPreset(t.preset()));
  } else {
    trunk.regnet = {t.regnet().depth(), t.regnet().w_0(),         t.regnet().w_a(),
                    t.regnet().w_m(),   t.regnet().group_width(), t.regnet().se_ratio()};
  }
  trunk.stem_stride = t.stem_stride();
  SEER_ASSIGN_OR_RETURN(const auto stages, engine::RegnetStages(trunk.regnet));
  int64_t parameters = 0;
  double flops = 0, activations = 0;
  for (const auto& crop : spec.augment().crops()) {
    SEER_ASSIGN_OR_RETURN(const engine::TrunkCost cost, engine::RegnetCost(trunk, crop.size()));
    parameters = cost.parameters;
    flops += cost.flops_per_image * crop.views();
    activations += cost.activations_per_image * crop.views();
  }
  int64_t width = stages.back().width, head = 0;
  for (int64_t hidden : spec.model().head().hidden()) {
    head += width * hidden + hidden + (spec.model().head().batch_norm() ? 2 * hidden : 0);
    width = hidden;
  }
  head += width * spec.model().head().output_dim() + spec.model().head().output_dim();
  head += spec.model().head().output_dim() * spec.loss().swav().prototypes();
  const int64_t all = parameters + head,
                local = spec.data().global_batch() / spec.distributed().ranks();
  const v1::OptimizerKind kind = spec.optim().kind();
  const int64_t state_bytes = all * 4 * OptimizerNumbers(kind);
  const int bytes = spec.precision().mode() == v1::PRECISION_MODE_BF16 ? 2 : 4;
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
       absl::StrCat(
           "weights ", FormatBytes(all * 4), ", gradients ", FormatBytes(all * 4), ", ",
           kind == v1::OPTIMIZER_KIND_ADAMW ? "two moments " : "momentum ",
           FormatBytes(state_bytes), ", activations about ",
           FormatBytes(static_cast<int64_t>(activations * static_cast<double>(local) * bytes)))},
      {"Traffic a step", spec.distributed().ranks() > 1
                             ? absl::StrCat(FormatBytes(all * 4), " of gradients reduced over ",
                                            spec.distributed().ranks(), " ranks")
                             : "none: one rank"},
      {"Ranks", absl::StrCat(spec.distributed().ranks(), " x ", local, " images")}};
  if (spec.kind() != v1::JOB_KIND_EVAL_KNN) {
    lines.emplace_back("Steps",
                       absl::StrFormat("%d of %d images: %.0f images", spec.optim().steps(),
                                       spec.data().global_batch(), images));
    lines.emplace_back(
        "Learning rate",
        absl::StrFormat("%g to %g over %d steps, then cosine to %g", spec.optim().start_lr(),
                        spec.optim().lr(), spec.optim().warmup_steps(), spec.optim().final_lr()));
    lines.emplace_back("Checkpoints", absl::StrFormat("every %d steps, %s each, the last %d kept",
                                                      spec.checkpoint().every_steps(),
                                                      FormatBytes(all * 4 + state_bytes),
                                                      spec.checkpoint().keep_last()));
  }
  return lines;
}

}  // namespace seer::client
