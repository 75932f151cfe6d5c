// What turns gradients into updated weights: one interface, one class a kind (SGD, LARS, AdamW),
// and what they share. All parameters are updated with a few multi-tensor calls. Not thread-safe.
#pragma once

#include <memory>
#include <vector>

#include <ATen/core/Tensor.h>

#include "engine/nn/segment.h"
#include "engine/optim/schedule.h"
#include "engine/session/config.h"

namespace seer::engine {

class Optimizer {
 public:
  virtual ~Optimizer() = default;
  // One update of all parameters, whose gradients must be defined; the gradients are used up.
  // `rates` are this step's, in place of the configuration's; `frozen[i]`: parameter i and all of
  // its state stay as they are; empty: none.
  virtual void Step(const StepRates& rates, const std::vector<bool>& frozen = {}) = 0;
  // All that a later attempt needs besides the weights, as "<what>/<parameter>", float or int64.
  // The tensors are shared: copying into them restores.
  virtual std::vector<NamedTensor> State() const = 0;
};

// Shares the tensors of `parameters`.
std::unique_ptr<Optimizer> MakeOptimizer(std::vector<NamedTensor> parameters,
                                         const OptimConfig& config);

// "sgd", "lars" or "adamw": the kind as checkpoints and messages name it.
const char* OptimizerName(OptimizerKind kind);

// A parameter with one dimension or less is a bias or belongs to a norm layer: with
// decay_norm_and_bias false it gets neither weight decay nor a rate of its own (LARC, LARS).
bool IsNormOrBias(const at::Tensor& parameter);

// |g| over all parameters together. A float scalar.
at::Tensor GradientNorm(const std::vector<NamedTensor>& parameters);

// g ← g · min(1, max_norm / (norm + 1e-6)): torch.nn.utils.clip_grad_norm_. `norm` is GradientNorm.
// A norm that is already small enough leaves every bit as it is.
void ClipGradients(const std::vector<NamedTensor>& parameters, double norm, double max_norm);

// |t| of each tensor, on the host: one synchronisation for all.
std::vector<double> HostNorms(const std::vector<at::Tensor>& tensors);

}  // namespace seer::engine
