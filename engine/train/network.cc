#include "engine/train/network.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "engine/arch/memory_plan.h"
#include "engine/nn/init.h"
#include "engine/nn/swav_head.h"
#include "engine/nn/trunk.h"

namespace seer::engine {
namespace {

// Model FLOPs as the literature counts utilisation: 2 a multiply-add, the backward pass twice the
// forward pass, and recomputation not counted. Convolutions and linear layers only.
constexpr double kFlopsPerMultiplyAdd = 2 * 3;

absl::StatusOr<double> FlopsPerSample(const TrainConfig& config, int64_t trunk_width) {
  double head = 0;
  int64_t in = trunk_width;
  for (const int64_t width : config.head.hidden) {
    head += static_cast<double>(in * width);
    in = width;
  }
  head += static_cast<double>(in * config.head.output_dim +
                              config.head.output_dim * config.head.prototypes);
  double multiply_adds = 0;
  for (const CropGroup& group : config.crops) {
    SEER_ASSIGN_OR_RETURN(const TrunkCost cost, CountTrunk(config.trunk, group.size));
    multiply_adds += group.views * (cost.flops_per_image + head);
  }
  return multiply_adds * kFlopsPerMultiplyAdd;
}

absl::StatusOr<MemoryDemand> Demand(const TrainConfig& config, int world_size,
                                    const Network& network) {
  MemoryDemand demand;
  for (const NamedTensor& p : network.Parameters()) demand.parameters += p.tensor.numel();
  demand.optimizer_numbers =
      (config.optim.kind == OptimizerKind::kAdamW ? 2 : 1) + (config.optim.ema_decay > 0 ? 1 : 0);
  demand.bytes_per_activation = config.precision == Precision::kBf16 ? 2 : 4;
  for (const CropGroup& group : config.crops) {
    SEER_ASSIGN_OR_RETURN(TrunkCost cost, CountTrunk(config.trunk, group.size));
    demand.resolutions.push_back({std::move(cost), group.views * config.global_batch / world_size});
  }
  return demand;
}

}  // namespace

std::vector<NamedTensor> Network::Parameters() const {
  std::vector<NamedTensor> all;
  for (const auto& segment : chain) {
    for (NamedTensor& p : segment->parameters()) all.push_back(std::move(p));
  }
  all.push_back(prototypes);
  return all;
}

std::vector<NamedTensor> Network::Buffers() const {
  std::vector<NamedTensor> all;
  for (const auto& segment : chain) {
    for (NamedTensor& b : segment->buffers()) all.push_back(std::move(b));
  }
  return all;
}

absl::StatusOr<Network> BuildNetwork(const TrainConfig& config, Communicator& norm_group) {
  const Initializer init(config.seed);
  const BuildContext context = {init, norm_group};
  SEER_ASSIGN_OR_RETURN(Trunk trunk, BuildTrunk(config.trunk, context));
  Network network;
  network.chain = std::move(trunk.chain);
  network.trunk_segments = network.chain.size();
  network.chain.push_back(BuildSwavHead(config.head, trunk.width, context));
  network.prototypes = BuildPrototypes(config.head, init);
  SEER_ASSIGN_OR_RETURN(network.flops_per_sample, FlopsPerSample(config, trunk.width));
  return network;
}

absl::StatusOr<std::vector<bool>> RecomputeChoice(const TrainConfig& config, int world_size,
                                                  const Network& network) {
  const MemoryConfig& memory = config.memory;
  const size_t chain_size = network.chain.size();
  std::vector<bool> choice(chain_size, memory.recompute == MemoryConfig::Recompute::kAll);
  if (memory.recompute == MemoryConfig::Recompute::kBudget) {
    SEER_ASSIGN_OR_RETURN(const MemoryDemand demand, Demand(config, world_size, network));
    SEER_ASSIGN_OR_RETURN(MemoryPlan plan, FitMemory(demand, memory.budget_bytes));
    choice = std::move(plan.recompute);
    choice.resize(chain_size, false);  // the head is kept
  }
  if (memory.recompute != MemoryConfig::Recompute::kList) return choice;
  for (const int index : memory.recompute_segments) {
    if (index < 0 || static_cast<size_t>(index) >= chain_size) {
      return Error(absl::StatusCode::kInvalidArgument, reason::kOutOfRange,
                   absl::StrCat("segment ", index, " of a chain of ", chain_size,
                                " is to be recomputed"))
          .Field("memory.recompute_segments");
    }
    choice[static_cast<size_t>(index)] = true;
  }
  return choice;
}

}  // namespace seer::engine
