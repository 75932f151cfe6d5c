// What turns gradients into updated weights: one interface, one class a kind (SGD, LARS, AdamW),
// and what they share. All parameters are updated with a few multi-tensor calls, whatever their
// shapes: a tensor may be the piece of a parameter that this rank holds. Not thread-safe.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "engine/nn/segment.h"
#include "engine/optim/schedule.h"
#include "engine/session/config.h"

namespace seer::engine {

// How one parameter is treated; param_groups.h makes them of names, shapes and configuration.
struct ParameterRules {
  bool adapted = true;                 // layer-wise rates (LARC, LARS) apply
  double lr_scale = 1;                 // times the step's learning rate; 0: frozen
  std::optional<double> weight_decay;  // in place of the step's
};

// A parameter, or a piece of one that several ranks hold together: of any shape, even empty. Its
// grad() is the gradient, of the same shape. Tensors are shared, not copied.
struct OptimParameter {
  std::string name;
  at::Tensor tensor;
  ParameterRules rules;
};

// Adds each number up over all ranks that hold pieces of the same parameters, in place, with the
// same result on all of them. They call it together, each with as many numbers, since all have the
// same parameters in the same order. Empty: this rank holds whole parameters.
using NormSums = std::function<void(std::vector<double>& squares)>;

class Optimizer {
 public:
  virtual ~Optimizer() = default;
  // One update of all parameters, whose gradients must be defined; the gradients are used up.
  // `rates` are this step's, in place of the configuration's; `frozen[i]`: parameter i and all of
  // its state stay as they are, as those with lr_scale 0 always do; empty: none.
  virtual void Step(const StepRates& rates, const std::vector<bool>& frozen = {}) = 0;
  // All that a later attempt needs besides the weights, as "<what>/<parameter>", float or int64.
  // The tensors are shared: copying into them restores.
  virtual std::vector<NamedTensor> State() const = 0;
};

// Shares the tensors of `parameters`.
std::unique_ptr<Optimizer> MakeOptimizer(std::vector<OptimParameter> parameters,
                                         const OptimConfig& config, NormSums sums = {});

// "sgd", "lars" or "adamw": the kind as checkpoints and messages name it.
const char* OptimizerName(OptimizerKind kind);

// |g| over all parameters together but those with lr_scale 0.
double GradientNorm(const std::vector<OptimParameter>& parameters, const NormSums& sums = {});

// g ← g · min(1, max_norm / (norm + 1e-6)): torch.nn.utils.clip_grad_norm_. `norm` is GradientNorm.
// A norm that is already small enough leaves every bit as it is.
void ClipGradients(const std::vector<OptimParameter>& parameters, double norm, double max_norm);

// |t|² of each tensor, on the host: one synchronisation for all, then one call of `sums`.
std::vector<double> HostSquares(const std::vector<at::Tensor>& tensors, const NormSums& sums);

}  // namespace seer::engine
