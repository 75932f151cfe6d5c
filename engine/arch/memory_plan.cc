#include "engine/arch/memory_plan.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"

namespace seer::engine {
namespace {

constexpr int64_t kFloatBytes = 4;
// What a heap wastes where blocks of changing sizes follow each other, as a share of them: fitted
// to one trunk's peak resident memory, tried on others (docs/performance.md).
constexpr double kHeapWaste = 0.4;

// Bytes of one segment and resolution, of the crops of one part of the batch.
struct Bytes {
  double input = 0, output = 0;
  double graph = 0;      // kept for the backward pass besides the input, the output included
  double gradients = 0;  // held at a time within the segment
};

// [segment of the chain][resolution]; the head is the last segment.
std::vector<std::vector<Bytes>> CountSegments(const NetworkCost& cost, const StepShape& step) {
  const size_t trunk = cost.resolutions.front().trunk.segments.size();
  std::vector<std::vector<Bytes>> all(trunk + 1);
  const auto width = static_cast<double>(step.bytes_per_activation);
  for (size_t i = 0; i <= trunk; ++i) {
    for (const NetworkCost::Resolution& r : cost.resolutions) {
      const SegmentCost& segment = i < trunk ? r.trunk.segments[i] : cost.head;
      const auto crops =
          static_cast<double>(r.views) * static_cast<double>(step.images / step.parts);
      Bytes bytes;
      bytes.input = segment.input_per_image * width * crops;
      bytes.output = segment.output_per_image * width * crops;
      bytes.graph = (segment.kept_per_image * width + segment.index_bytes_per_image) * crops;
      // Each pass casts the weights for itself.
      if (step.bytes_per_activation < kFloatBytes)
        bytes.graph += static_cast<double>(segment.parameters) * width;
      bytes.gradients = segment.gradients_per_image * width * crops +
                        static_cast<double>(segment.largest_weight * kFloatBytes);
      all[i].push_back(bytes);
    }
  }
  return all;
}

// The photometry's output, of all parts: it is there to the step's end.
double PixelBytes(const NetworkCost& cost, const StepShape& step) {
  double bytes = 0;
  for (const NetworkCost::Resolution& r : cost.resolutions)
    bytes += r.trunk.input_per_image * r.views * static_cast<double>(step.images) *
             step.bytes_per_activation;
  return bytes;
}

// Of each layer of prototypes log-probabilities and targets, and of one at a time scores, codes and
// a product of theirs; float, for all crops.
double LossBytes(const NetworkCost& cost, const StepShape& step) {
  double sum = 0, largest = 0, views = 0;
  for (const int64_t parameters : cost.prototype_parameters) {
    const double prototypes = static_cast<double>(parameters) / cost.head.output_per_image;
    sum += prototypes;
    largest = std::max(largest, prototypes);
  }
  for (const NetworkCost::Resolution& r : cost.resolutions) views += r.views;
  return (2 * sum + 3 * largest) * views * static_cast<double>(step.images * kFloatBytes);
}

// What the forward pass leaves for the backward pass: [segment][resolution] bytes. A segment's
// input is the output of the one before, which keeps it unless it is recomputed.
std::vector<std::vector<double>> Kept(const std::vector<std::vector<Bytes>>& segments,
                                      const std::vector<bool>& recompute) {
  std::vector<std::vector<double>> kept(segments.size());
  for (size_t i = 0; i < segments.size(); ++i) {
    for (const Bytes& bytes : segments[i]) {
      const bool own_input = i > 0 && recompute[i - 1];
      const bool again = i < recompute.size() && recompute[i];
      kept[i].push_back((own_input ? bytes.input : 0) + (again ? 0 : bytes.graph));
    }
  }
  return kept;
}

// The fullest moment of the walk back from the last segment to the first, bytes of activations and
// their gradients, pixels aside.
double BackwardPeak(const std::vector<std::vector<Bytes>>& segments,
                    const std::vector<bool>& recompute) {
  const std::vector<std::vector<double>> kept = Kept(segments, recompute);
  double below = 0, peak = 0;  // below: kept by the segments before
  for (size_t i = 0; i < segments.size(); ++i) {
    double own = std::accumulate(kept[i].begin(), kept[i].end(), 0.0);
    for (size_t r = 0; r < segments[i].size(); ++r) {
      const Bytes& bytes = segments[i][r];
      double gradients = 0;  // between segments: of inputs where it is done, else of outputs
      for (size_t other = 0; other < segments[i].size(); ++other)
        gradients += other < r ? segments[i][other].input : segments[i][other].output;
      const bool again = i < recompute.size() && recompute[i];
      peak = std::max(peak, below + own + gradients + bytes.gradients + (again ? bytes.graph : 0));
      own -= kept[i][r];  // freed
    }
    below += std::accumulate(kept[i].begin(), kept[i].end(), 0.0);
  }
  return peak;
}

// Of state that is there all the time, and of what sharding gathers.
void CountState(const NetworkCost& cost, const StepShape& step, MemoryPlan& plan) {
  const std::vector<int64_t> units = cost.unit_parameters();
  int64_t own = 0;
  std::vector<int64_t> whole, shard;
  for (const int64_t parameters : units) {
    shard.push_back((parameters + step.shard_group - 1) / step.shard_group * kFloatBytes);
    whole.push_back(parameters * kFloatBytes);
    own += shard.back();
  }
  plan.weight_bytes = plan.gradient_bytes = own;
  plan.optimizer_bytes = own * step.optimizer_numbers;
  if (step.offload) {
    plan.host_bytes = 2 * own + plan.optimizer_bytes;
    plan.optimizer_bytes = 0;
  }
  if (!step.sharded()) return;
  for (size_t i = 0; i < units.size(); ++i) {
    const bool last = i + 1 == units.size();
    // With one rank in a group weights are whole as they are.
    const int64_t weights =
        step.shard_group == 1 ? 0 : whole[i] + (i > 0 && !last ? whole[i - 1] : 0);
    const int64_t gradients = whole[i] + (last ? 0 : whole[i + 1] + shard[i + 1]);
    plan.gathered_bytes = std::max(plan.gathered_bytes, weights + gradients);
  }
}

}  // namespace

MemoryPlan CountMemory(const NetworkCost& cost, const StepShape& step,
                       std::vector<bool> recompute) {
  MemoryPlan plan;
  CountState(cost, step, plan);
  const std::vector<std::vector<Bytes>> segments = CountSegments(cost, step);
  double activations = 0;
  for (const std::vector<double>& kept : Kept(segments, recompute))
    activations = std::accumulate(kept.begin(), kept.end(), activations);
  // Of several parts each goes through again before its backward pass: the loss finds none kept.
  const double at_loss = LossBytes(cost, step) + (step.parts == 1 ? activations : 0);
  const double peak = std::max(BackwardPeak(segments, recompute), at_loss);
  plan.activation_bytes = static_cast<int64_t>(PixelBytes(cost, step) + activations);
  plan.transient_bytes = static_cast<int64_t>((1 + kHeapWaste) * std::max(0.0, peak - activations));
  double again = 0, forward = 0;
  for (const NetworkCost::Resolution& r : cost.resolutions) {
    for (size_t i = 0; i < recompute.size(); ++i) {
      const double flops = r.trunk.segments[i].flops_per_image * r.views;
      forward += flops;
      if (recompute[i]) again += flops;
    }
  }
  plan.recompute = std::move(recompute);
  plan.extra_forward_ratio = (forward > 0 ? again / forward : 0) + (step.parts > 1 ? 1 : 0);
  return plan;
}

absl::StatusOr<MemoryPlan> FitMemory(const NetworkCost& cost, const StepShape& step,
                                     int64_t budget_bytes) {
  const size_t count = cost.resolutions.front().trunk.segments.size();
  const std::vector<std::vector<Bytes>> segments = CountSegments(cost, step);
  std::vector<double> freed(count), flops(count);
  for (size_t i = 0; i < count; ++i) {
    for (size_t r = 0; r < segments[i].size(); ++r) {
      // The output stays, as the next one's input.
      freed[i] += segments[i][r].graph - segments[i][r].output;
      flops[i] += cost.resolutions[r].trunk.segments[i].flops_per_image * cost.resolutions[r].views;
    }
  }
  std::vector<size_t> order(count);
  std::iota(order.begin(), order.end(), size_t{0});
  std::erase_if(order, [&](size_t i) { return freed[i] <= 0; });
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return freed[a] * flops[b] > freed[b] * flops[a]; });

  MemoryPlan plan = CountMemory(cost, step, std::vector<bool>(count, false));
  std::vector<size_t> chosen;
  int64_t least = plan.peak_bytes();
  for (const size_t i : order) {
    if (plan.peak_bytes() <= budget_bytes) break;
    std::vector<bool> more = plan.recompute;
    more[i] = true;
    plan = CountMemory(cost, step, std::move(more));
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
    MemoryPlan smaller = CountMemory(cost, step, std::move(fewer));
    if (smaller.peak_bytes() <= budget_bytes) plan = std::move(smaller);
  }
  return plan;
}

}  // namespace seer::engine
