#include "engine/arch/network_cost.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "common/base/status_macros.h"

namespace seer::engine {
namespace {

SegmentCost CountHead(const NetworkShape& shape, int64_t width) {
  SegmentCost head;
  head.input_per_image = static_cast<double>(width);
  const auto linear = [&](int64_t out) {
    head.parameters += width * out + out;
    head.largest_weight = std::max(head.largest_weight, width * out);
    head.flops_per_image += static_cast<double>(width * out);
    head.activations_per_image += static_cast<double>(out);
    ++head.layers;
    width = out;
  };
  for (const int64_t hidden : shape.hidden) {
    linear(hidden);
    head.kept_per_image += static_cast<double>(shape.head_batch_norm ? 2 * hidden : hidden);
    head.gradients_per_image = std::max(head.gradients_per_image, 2 * static_cast<double>(hidden));
    if (!shape.head_batch_norm) continue;
    head.parameters += 2 * hidden;
    head.norm_channels += hidden;
    ++head.norms;
  }
  linear(shape.output_dim);
  head.output_per_image = static_cast<double>(shape.output_dim);
  head.kept_per_image += 3 * head.output_per_image;  // before and after it has length 1
  return head;
}

}  // namespace

int64_t NetworkCost::parameters() const {
  return std::accumulate(prototype_parameters.begin(), prototype_parameters.end(),
                         trunk_parameters() + head.parameters);
}

std::vector<int64_t> NetworkCost::unit_parameters() const {
  std::vector<int64_t> units;
  for (const SegmentCost& segment : resolutions.front().trunk.segments)
    units.push_back(segment.parameters);
  units.push_back(head.parameters);
  units.push_back(
      std::accumulate(prototype_parameters.begin(), prototype_parameters.end(), int64_t{0}));
  return units;
}

double NetworkCost::multiply_adds_per_image() const {
  double sum = 0;
  for (const Resolution& r : resolutions)
    sum += r.views * (r.trunk.flops_per_image + head.flops_per_image + prototypes_per_crop);
  return sum;
}

absl::StatusOr<NetworkCost> CountNetwork(const NetworkShape& shape) {
  NetworkCost cost;
  for (const NetworkShape::Crops& crops : shape.crops) {
    SEER_ASSIGN_OR_RETURN(TrunkCost trunk, CountTrunk(shape.trunk, crops.size));
    cost.resolutions.push_back({std::move(trunk), crops.views});
  }
  SEER_ASSIGN_OR_RETURN(const std::vector<TrunkStage> stages, TrunkStages(shape.trunk));
  cost.head = CountHead(shape, stages.back().width);
  for (const int64_t prototypes : shape.prototypes) {
    cost.prototype_parameters.push_back(prototypes * shape.output_dim);
    cost.prototypes_per_crop += static_cast<double>(prototypes * shape.output_dim);
  }
  return cost;
}

}  // namespace seer::engine
