#include "engine/train/network.h"

#include <utility>

#include <ATen/Context.h>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "engine/arch/memory_plan.h"
#include "engine/device/device.h"
#include "engine/nn/init.h"
#include "engine/nn/swav_head.h"
#include "engine/nn/trunk.h"

namespace seer::engine {
namespace {

// Model FLOPs as the literature counts utilisation: 2 a multiply-add, the backward pass twice the
// forward pass, and recomputation not counted. Convolutions and linear layers only.
constexpr double kFlopsPerMultiplyAdd = 2 * 3;

absl::StatusOr<NetworkCost> Cost(const TrainConfig& config) {
  NetworkShape shape;
  shape.trunk = config.trunk;
  shape.hidden = config.head.hidden;
  shape.output_dim = config.head.output_dim;
  shape.head_batch_norm = config.head.batch_norm;
  shape.prototypes = {config.head.prototypes};
  shape.prototypes.insert(shape.prototypes.end(), config.head.extra_prototypes.begin(),
                          config.head.extra_prototypes.end());
  for (const CropGroup& group : config.crops) shape.crops.push_back({group.views, group.size});
  return CountNetwork(shape);
}

// What the memory plan asks of it.
StepShape ShapeOf(const TrainConfig& config, int world_size) {
  StepShape step;
  step.images = config.global_batch / world_size;
  step.parts = config.accumulation_steps;
  step.ranks = world_size;
  const int group = config.distributed.shard_group_size;
  step.shard_group = group == 0 ? world_size : group;
  step.offload = config.memory.offload_optimizer;
  step.optimizer_numbers =
      (config.optim.kind == OptimizerKind::kAdamW ? 2 : 1) + (config.optim.ema_decay > 0 ? 1 : 0);
  step.bytes_per_activation = static_cast<int>(c10::elementSize(ActivationType(config.precision)));
  return step;
}

}  // namespace

std::vector<std::vector<NamedTensor>> Network::Units() const {
  std::vector<std::vector<NamedTensor>> units;
  for (const auto& segment : chain) units.push_back(segment->parameters());
  units.push_back(prototypes);
  return units;
}

std::vector<NamedTensor> Network::Parameters() const {
  std::vector<NamedTensor> all;
  for (std::vector<NamedTensor>& unit : Units()) {
    for (NamedTensor& p : unit) all.push_back(std::move(p));
  }
  return all;
}

std::vector<NamedTensor> Network::Buffers() const {
  std::vector<NamedTensor> all;
  for (const auto& segment : chain) {
    for (NamedTensor& b : segment->buffers()) all.push_back(std::move(b));
  }
  return all;
}

void Network::MoveTo(at::Device device, bool parameters) const {
  std::vector<at::Tensor> tensors;
  for (NamedTensor& b : Buffers()) tensors.push_back(std::move(b.tensor));
  for (NamedTensor& p : parameters ? Parameters() : std::vector<NamedTensor>())
    tensors.push_back(std::move(p.tensor));
  engine::MoveTo(device, tensors);
}

absl::StatusOr<Network> BuildNetwork(const TrainConfig& config, Communicator& norm_group,
                                     DeferredWeights* deferred) {
  const Initializer init(config.seed, deferred);
  const BuildContext context = {init, norm_group};
  SEER_ASSIGN_OR_RETURN(Trunk trunk, BuildTrunk(config.trunk, context));
  Network network;
  network.chain = std::move(trunk.chain);
  network.trunk_segments = network.chain.size();
  network.chain.push_back(BuildSwavHead(config.head, trunk.width, context));
  network.prototypes = BuildPrototypes(config.head, init);
  SEER_ASSIGN_OR_RETURN(const NetworkCost cost, Cost(config));
  network.flops_per_sample = cost.multiply_adds_per_image() * kFlopsPerMultiplyAdd;
  return network;
}

at::ScalarType ActivationType(Precision precision) {
  switch (precision) {
    case Precision::kBf16:
      return at::kBFloat16;
    case Precision::kFp16:
      return at::kHalf;
    case Precision::kFp32:
    case Precision::kTf32:
      break;
  }
  return at::kFloat;
}

void SetProductPrecision(Precision precision) {
  const bool tf32 = precision == Precision::kTf32;
  at::globalContext().setAllowTF32CuBLAS(tf32);
  at::globalContext().setAllowTF32CuDNN(tf32);
}

absl::StatusOr<std::vector<bool>> RecomputeChoice(const TrainConfig& config, int world_size,
                                                  const Network& network) {
  const MemoryConfig& memory = config.memory;
  const size_t chain_size = network.chain.size();
  std::vector<bool> choice(chain_size, memory.recompute == MemoryConfig::Recompute::kAll);
  if (memory.recompute == MemoryConfig::Recompute::kBudget) {
    SEER_ASSIGN_OR_RETURN(const NetworkCost cost, Cost(config));
    SEER_ASSIGN_OR_RETURN(MemoryPlan plan,
                          FitMemory(cost, ShapeOf(config, world_size), memory.budget_bytes));
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
