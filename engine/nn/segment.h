// The unit of the chain: a run of layers that the executor runs forward, may run again in the
// backward pass (recompute), and whose gradients it reduces as soon as they are there.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "engine/parallel/running_update.h"

namespace seer::engine {

// A parameter or buffer under the name that the reference implementation gives it (torchvision's
// for the trunk, "trunk_output.block1.block1-0.proj.0.weight"; SwAV's for the head,
// "projection_head.0.weight"). Tensors are shared, not copied.
struct NamedTensor {
  std::string name;
  at::Tensor tensor;
};

// The batch statistics of one norm layer in one forward pass, over the whole group of ranks.
struct NormStatistics {
  at::Tensor mean;      // [channels], float
  at::Tensor variance;  // [channels], float, biased
  at::Tensor count;     // [] double: elements a channel
};

// What the norm layers of one segment remember of one forward pass, one entry a layer in order of
// execution: a recompute of the same pass takes its statistics from here and does not communicate;
// the running statistics are updated from here once, after the step was found to be sound.
struct NormMemory {
  std::vector<NormStatistics> entries;
  size_t cursor = 0;  // the next entry of a recompute; set it to 0 before one
};

enum class PassMode {
  kTrain,      // batch statistics; appends them to NormMemory
  kRecompute,  // batch statistics out of NormMemory
  kEval,       // running statistics
};

struct Pass {
  PassMode mode = PassMode::kEval;
  NormMemory* memory = nullptr;  // not null unless kEval
};

class Segment {
 public:
  virtual ~Segment() = default;
  virtual const std::string& name() const = 0;
  // x: [N, C, H, W] (or [N, D] for the head), differentiable. Same arithmetic in kTrain and
  // kRecompute, bit for bit.
  // The arithmetic is in x's type (float, bfloat16 or half); parameters stay float.
  virtual at::Tensor Forward(const at::Tensor& x, Pass& pass) = 0;
  // Adds the running statistics to `update`, towards those of one kTrain pass.
  virtual void AppendRunning(const NormMemory& memory, RunningUpdate& update) const = 0;
  // Leaf tensors with requires_grad, in a fixed order; `buffers`: running mean and variance.
  virtual std::vector<NamedTensor> parameters() const = 0;
  virtual std::vector<NamedTensor> buffers() const = 0;
};

// Segments in order; the output of one is the input of the next.
using Chain = std::vector<std::unique_ptr<Segment>>;

}  // namespace seer::engine
