// Fully sharded parameters (ZeRO stage 3, arXiv:1910.02054; the unit is FSDP's, arXiv:2304.11277):
// the ranks of a group hold one copy of weights, gradients and optimiser state together; between
// groups they are replicated (hybrid sharding). A unit's weights are gathered before it is used,
// one unit ahead, and freed after it; its gradients are summed into shards as soon as they are
// there. Not thread-safe.
#pragma once

#include <memory>
#include <vector>

#include "engine/nn/deferred.h"
#include "engine/parallel/communicator.h"
#include "engine/parallel/placement.h"

namespace seer::engine {

struct ShardedOptions {
  Communicator* gathers = nullptr;     // the group, for weights
  Communicator* reductions = nullptr;  // the same group again, for gradients: neither waits
  Communicator* replicas = nullptr;    // the ranks that hold the same shard
  at::Device device = at::kCPU;        // of the weights in use
  bool offload = false;  // own() is a copy in host memory: so is, then, the optimiser's state
};

class ShardedParameters final : public ParameterPlacement {
 public:
  // `units`: the parameters of each unit, which are used up: from here on their tensors hold no
  // memory unless their unit is acquired. Weights that `deferred` knows are drawn here, a unit at a
  // time. The communicators must outlive this.
  ShardedParameters(const std::vector<std::vector<NamedTensor>>& units,
                    const DeferredWeights& deferred, const ShardedOptions& options);

  void Acquire(size_t unit, std::optional<size_t> next) override;
  void Release(size_t unit) override;
  void BeginGradients(size_t unit) override;
  void GradientsDone(size_t unit, bool last) override;
  void Store(size_t unit) override;
  void ZeroGradients() override;
  void FinishGradients() override;
  const std::vector<NamedTensor>& own() const override { return own_; }
  void WeightsUpdated() override;
  void SumOverPieces(std::vector<double>& numbers) const override;
  at::Tensor Whole(size_t parameter, const at::Tensor& piece) const override;
  void CopyPiece(size_t parameter, const at::Tensor& whole, at::Tensor piece) const override;

 private:
  struct Parameter {
    at::Tensor tensor;       // a view of its unit's `whole`
    int64_t offset = 0;      // in `whole`, elements
    int64_t shard_size = 0;  // of its unit
  };
  struct Unit {
    std::vector<size_t> parameters;  // indices
    int64_t padded = 0;              // elements: the group's size times that of a shard
    at::Tensor whole;                // [padded]; without memory unless acquired
    at::Tensor shard;                // [padded / group's size]
    at::Tensor gradient;             // [padded] while a backward pass adds to it
    at::Tensor shard_gradient;       // as shard: the sum over the step so far
    bool resident = false;           // `whole` is filled
    std::unique_ptr<Pending> fetching;
  };
  struct Reduction {
    size_t unit = 0;
    bool last = false;
    at::Tensor into;  // as shard
    std::unique_ptr<Pending> pending;
  };

  int64_t ShardSize(const Unit& unit) const { return unit.padded / gathers_.size(); }
  // The part of `parameter` that rank `rank` of the group holds: offset in `whole`, elements.
  std::pair<int64_t, int64_t> Range(const Parameter& parameter, int rank) const;
  void AddUnit(const std::vector<NamedTensor>& parameters, const DeferredWeights& deferred);
  void Fetch(Unit& unit);
  void FinishReduction();

  Communicator& gathers_;
  Communicator& reductions_;
  Communicator& replicas_;
  const at::Device device_;
  const bool offload_;
  std::vector<Unit> units_;
  std::vector<Parameter> parameters_;
  std::vector<NamedTensor> pieces_;     // of the shards, with gradients that are pieces of theirs
  std::vector<NamedTensor> own_;        // pieces_, or their copies in host memory
  std::optional<Reduction> reduction_;  // at most one at a time: one unit's gradients wait
  std::vector<std::unique_ptr<Pending>> over_replicas_;
};

}  // namespace seer::engine
