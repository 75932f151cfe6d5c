// The running statistics of a network's norm layers on their way to those of a pass: all at once,
// because each is small.
#pragma once

#include <vector>

#include <ATen/core/Tensor.h>

namespace seer::engine {

inline constexpr double kNormMomentum = 0.1;

class RunningUpdate {
 public:
  // mean, variance: of the pass, [channels] float, the variance biased; count: [] double, elements
  // a channel.
  void Add(const at::Tensor& running_mean, const at::Tensor& running_variance,
           const at::Tensor& mean, const at::Tensor& variance, const at::Tensor& count);
  // running += kNormMomentum · (pass − running); the variance unbiased, as torch does.
  void Apply();

 private:
  std::vector<at::Tensor> running_, targets_;  // mean and variance of each layer
  std::vector<at::Tensor> counts_;
};

}  // namespace seer::engine
