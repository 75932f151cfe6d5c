#include "engine/arch/traffic.h"

#include <numeric>
#include <vector>

namespace seer::engine {
namespace {

constexpr int64_t kFloatBytes = 4, kDoubleBytes = 8;

// Buckets close at the end of the unit that fills them, from the last unit to the first.
Collectives Buckets(const std::vector<int64_t>& units, const StepShape& step) {
  Collectives c{0, 0, step.ranks};
  int64_t open = 0;
  for (auto unit = units.rbegin(); unit != units.rend(); ++unit) {
    open += *unit * kFloatBytes;
    c.bytes += *unit * kFloatBytes;
    if (open == 0 || open < step.bucket_bytes) continue;
    ++c.count;
    open = 0;
  }
  if (open > 0) ++c.count;
  return c;
}

void AddShards(const std::vector<int64_t>& units, const StepShape& step, StepTraffic& traffic) {
  int64_t all = 0, filled = 0;
  for (const int64_t unit : units) {
    all += unit * kFloatBytes;
    if (unit > 0) ++filled;
  }
  const int64_t prototypes = units.back() * kFloatBytes,
                head = units[units.size() - 2] * kFloatBytes;
  const int64_t chain = all - prototypes;
  if (step.shard_group > 1) {
    // The prototypes once, with their gradients; each part of the batch the chain, whose last unit
    // stays from a forward pass to the backward pass. Several parts go forward once more.
    traffic.gradients = {(filled - 1) * step.parts + 1, chain * step.parts + prototypes,
                         step.shard_group};
    const int64_t walks = step.parts == 1 ? 2 : 3 * step.parts;
    const int64_t kept = step.parts;
    traffic.weights = {(filled - 1) * walks - kept + 1, chain * walks - head * kept + prototypes,
                       step.shard_group};
  }
  const int replicas = step.ranks / step.shard_group;
  if (replicas > 1) traffic.replica_gradients = {filled, all / step.shard_group, replicas};
}

}  // namespace

StepTraffic CountTraffic(const NetworkCost& cost, const StepShape& step) {
  StepTraffic traffic;
  const std::vector<int64_t> units = cost.unit_parameters();
  if (step.sharded()) {
    AddShards(units, step, traffic);
  } else if (step.ranks > 1) {
    traffic.gradients = Buckets(units, step);
  }
  if (step.norm_group > 1) {
    traffic.norms.group = step.norm_group;
    for (const NetworkCost::Resolution& r : cost.resolutions) {
      for (const SegmentCost* segment : {static_cast<const SegmentCost*>(&r.trunk), &cost.head}) {
        traffic.norms.count += 2 * segment->norms * step.parts;
        // Forward two sums a channel and the count, backward two sums a channel.
        traffic.norms.bytes +=
            (4 * segment->norm_channels + segment->norms) * kDoubleBytes * step.parts;
      }
    }
  }
  if (step.ranks == 1) return traffic;
  traffic.codes.group = traffic.numbers.group = step.ranks;
  const auto dim = static_cast<int64_t>(cost.head.output_per_image);
  for (const int64_t parameters : cost.prototype_parameters) {
    const int64_t prototypes = parameters / dim, row = step.assign_views * kFloatBytes;
    const int64_t iterations = step.sinkhorn_iterations;
    // Each iteration a sum, in logarithms a maximum before it; else one maximum in all; and at the
    // end the marginals with the number of samples.
    traffic.codes.count += step.log_sinkhorn ? 2 * iterations + 1 : iterations + 2;
    traffic.codes.bytes += row * (step.log_sinkhorn ? 2 * iterations * prototypes + prototypes + 1
                                                    : (iterations + 1) * prototypes + 2);
  }
  traffic.numbers.count = 1;
  traffic.numbers.bytes =
      (6 + 2 * cost.prototype_parameters.front() / dim + 2 * dim) * kDoubleBytes;
  if (step.queue) {
    ++traffic.numbers.count;
    traffic.numbers.bytes += step.images * step.ranks * step.assign_views * dim * kFloatBytes;
  }
  return traffic;
}

}  // namespace seer::engine
