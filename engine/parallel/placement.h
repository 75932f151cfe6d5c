// Where the parameters of a network, their gradients and what the optimiser keeps of them lie:
// whole on every rank (replicated.h), or in shards (sharded.h). What walks the chain and what
// updates weights go through this, and know no other difference. Not thread-safe.
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include <ATen/core/Tensor.h>

#include "engine/nn/segment.h"

namespace seer::engine {

// What a walk over units tells whoever holds their weights. A unit is a segment of the chain, by
// its index; the prototypes are one more, chain.size(). As it stands here: of weights that are
// always there and get no gradients.
class UnitWalk {
 public:
  virtual ~UnitWalk() = default;
  // The unit's weights are whole from here to Release. `next`: the unit that is wanted after it,
  // which may be fetched meanwhile.
  virtual void Acquire(size_t /*unit*/, std::optional<size_t> /*next*/) {}
  virtual void Release(size_t /*unit*/) {}
  // Between the two, backward passes add to the gradients of the unit's parameters. `last`: no more
  // of them in this step.
  virtual void BeginGradients(size_t /*unit*/) {}
  virtual void GradientsDone(size_t /*unit*/, bool /*last*/) {}
};

class ParameterPlacement : public UnitWalk {
 public:
  // The acquired weights were changed by hand, in the same way on every rank: the change stays.
  virtual void Store(size_t unit) = 0;

  virtual void ZeroGradients() = 0;  // before the step's first backward pass
  // Waits for what GradientsDone started; then the gradients of own() are means over all ranks.
  virtual void FinishGradients() = 0;

  // What this rank's optimiser updates: the network's parameters in order (units in order), or this
  // rank's pieces of them, one-dimensional, some of them empty. Their grad is defined.
  virtual const std::vector<NamedTensor>& own() const = 0;
  virtual void WeightsUpdated() = 0;  // own() was changed

  // Adds up numbers that each rank has of its pieces, such as squares for a norm; in place.
  virtual void SumOverPieces(std::vector<double>& numbers) const = 0;

  // Collective. `piece`: of this rank, as own()[parameter] in shape, such as the optimiser's state
  // of it. Returns all pieces together, in the parameter's own shape.
  virtual at::Tensor Whole(size_t parameter, const at::Tensor& piece) const = 0;
  // The other way round, for one rank alone: copies this rank's part of `whole` into `piece`.
  virtual void CopyPiece(size_t parameter, const at::Tensor& whole, at::Tensor piece) const = 0;
};

}  // namespace seer::engine
