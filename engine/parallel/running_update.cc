#include "engine/parallel/running_update.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

namespace seer::engine {

void RunningUpdate::Add(const at::Tensor& running_mean, const at::Tensor& running_variance,
                        const at::Tensor& mean, const at::Tensor& variance,
                        const at::Tensor& count) {
  running_.push_back(running_mean);
  running_.push_back(running_variance);
  targets_.push_back(mean);
  targets_.push_back(variance);
  counts_.push_back(count);
}

void RunningUpdate::Apply() {
  if (running_.empty()) return;
  const at::NoGradGuard no_grad;
  const at::Tensor counts = at::stack(counts_);
  // n / (n − 1), and 1 for a single element, whose variance is 0.
  const std::vector<at::Tensor> unbias =
      (counts / (counts - 1).clamp_min_(1)).to(at::kFloat).unbind();
  for (size_t i = 0; i < counts_.size(); ++i) targets_[2 * i + 1] = targets_[2 * i + 1] * unbias[i];
  at::_foreach_lerp_(running_, targets_, kNormMomentum);
}

}  // namespace seer::engine
