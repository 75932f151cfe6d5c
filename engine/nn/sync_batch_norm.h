// Batch normalisation whose statistics are those of all ranks of a group (Ioffe & Szegedy 2015;
// torch's BatchNorm2d in every number). Forward: one all-reduce of [sum, sum of squares, count] a
// layer, in double. Backward: one all-reduce of [sum dy·x̂, sum dy], in double. Counts are exact, so
// ranks may hold different numbers of samples. Parameter gradients are this rank's share: the
// caller averages them over ranks, as for every other parameter.
#pragma once

#include <optional>
#include <string>

#include <ATen/core/Tensor.h>

#include "engine/nn/init.h"
#include "engine/nn/segment.h"
#include "engine/parallel/communicator.h"

namespace seer::engine {

inline constexpr double kNormEpsilon = 1e-5;

class SyncBatchNorm {
 public:
  // `group` must outlive the layer. `name` is that of the layer: parameters are name.weight,
  // name.bias, and buffers name.running_mean, name.running_var.
  SyncBatchNorm(std::string name, int64_t channels, const Initializer& init, Communicator& group);

  // x: [N, C] or [N, C, H, W], float or bfloat16. Same shape and type out, channels last in memory;
  // so should x be, another order costs a copy.
  // Collective in kTrain if the group has several ranks; throws CollectiveError.
  at::Tensor Forward(const at::Tensor& x, Pass& pass) const;
  // relu(Forward(x)) and relu(Forward(x) + residual), in the same passes over memory and rounded
  // once. `residual`: as x.
  at::Tensor ForwardRelu(const at::Tensor& x, Pass& pass) const;
  at::Tensor ForwardAddRelu(const at::Tensor& x, const at::Tensor& residual, Pass& pass) const;
  void AppendRunning(const NormStatistics& statistics, RunningUpdate& update) const;

  // Adds name.weight, name.bias to `parameters`; name.running_mean, name.running_var to `buffers`.
  void AppendTo(std::vector<NamedTensor>& parameters, std::vector<NamedTensor>& buffers) const;

 private:
  at::Tensor Apply(const at::Tensor& x, const std::optional<at::Tensor>& residual, bool relu,
                   Pass& pass) const;
  NormStatistics BatchStatistics(const at::Tensor& x) const;

  const std::string name_;
  Communicator& group_;
  at::Tensor weight_, bias_, running_mean_, running_var_;  // [C], float
};

}  // namespace seer::engine
