#include "engine/arch/memory_plan.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"

namespace seer::engine {
namespace {

// A convolution's output is kept for the norm layer, and the norm layer's for what comes next.
constexpr double kTensorsPerConvolution = 2;
constexpr int64_t kFloatBytes = 4;

double KeptBytes(const MemoryDemand& demand, const MemoryDemand::Resolution& r, size_t segment) {
  return r.cost.segments[segment].activations_per_image * kTensorsPerConvolution *
         static_cast<double>(r.crops * demand.bytes_per_activation);
}

double InputBytes(const MemoryDemand& demand, const MemoryDemand::Resolution& r, size_t segment) {
  return r.cost.segments[segment].input_per_image *
         static_cast<double>(r.crops * demand.bytes_per_activation);
}

}  // namespace

MemoryPlan CountMemory(const MemoryDemand& demand, std::vector<bool> recompute) {
  MemoryPlan plan;
  plan.state_bytes = demand.parameters * kFloatBytes * (2 + demand.optimizer_numbers);
  double kept = 0, transient = 0, again = 0, forward = 0;
  for (const MemoryDemand::Resolution& r : demand.resolutions) {
    for (size_t i = 0; i < recompute.size(); ++i) {
      const double flops = r.cost.segments[i].flops_per_image * static_cast<double>(r.crops);
      forward += flops;
      const double graph = KeptBytes(demand, r, i), gradients = graph / kTensorsPerConvolution;
      if (recompute[i]) {
        kept += InputBytes(demand, r, i);  // the output of a kept segment is counted there as well
        transient = std::max(transient, graph + gradients);
        again += flops;
      } else {
        kept += graph;
        transient = std::max(transient, gradients);
      }
    }
  }
  plan.recompute = std::move(recompute);
  plan.activation_bytes = static_cast<int64_t>(kept);
  plan.transient_bytes = static_cast<int64_t>(transient);
  plan.extra_forward_ratio = forward > 0 ? again / forward : 0;
  return plan;
}

absl::StatusOr<MemoryPlan> FitMemory(const MemoryDemand& demand, int64_t budget_bytes) {
  const size_t segments =
      demand.resolutions.empty() ? 0 : demand.resolutions.front().cost.segments.size();
  std::vector<double> freed(segments), flops(segments);
  for (const MemoryDemand::Resolution& r : demand.resolutions) {
    for (size_t i = 0; i < segments; ++i) {
      freed[i] += KeptBytes(demand, r, i) - InputBytes(demand, r, i);
      flops[i] += r.cost.segments[i].flops_per_image * static_cast<double>(r.crops);
    }
  }
  std::vector<size_t> order(segments);
  std::iota(order.begin(), order.end(), size_t{0});
  std::erase_if(order, [&](size_t i) { return freed[i] <= 0; });
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return freed[a] * flops[b] > freed[b] * flops[a]; });

  MemoryPlan plan = CountMemory(demand, std::vector<bool>(segments, false));
  std::vector<size_t> chosen;
  int64_t least = plan.peak_bytes();
  for (const size_t i : order) {
    if (plan.peak_bytes() <= budget_bytes) break;
    std::vector<bool> more = plan.recompute;
    more[i] = true;
    plan = CountMemory(demand, std::move(more));
    chosen.push_back(i);
    least = std::min(least, plan.peak_bytes());
  }
  if (plan.peak_bytes() > budget_bytes) {
    return Error(absl::StatusCode::kInvalidArgument, reason::kOutOfRange,
                 absl::StrCat("a budget of ", budget_bytes, " bytes is too small: a rank needs ",
                              least, " even if segments are recomputed"))
        .Field("memory.budget_bytes")
        .Hint("raise the budget, or take more ranks or a smaller global batch")
        .With("needed_bytes", absl::StrCat(least));
  }
  for (const size_t i : chosen) {
    std::vector<bool> fewer = plan.recompute;
    fewer[i] = false;
    MemoryPlan smaller = CountMemory(demand, std::move(fewer));
    if (smaller.peak_bytes() <= budget_bytes) plan = std::move(smaller);
  }
  return plan;
}

}  // namespace seer::engine
