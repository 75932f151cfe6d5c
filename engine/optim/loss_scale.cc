#include "engine/optim/loss_scale.h"

#include <algorithm>
#include <cmath>

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

namespace seer::engine {
namespace {

constexpr float kGrowth = 2, kBackoff = 0.5, kSmallest = 1;

}  // namespace

LossScale::LossScale(const LossScaleConfig& config)
    : growth_interval_(config.growth_interval),
      value_{"loss_scale/value", at::full({}, config.initial, at::kFloat)},
      good_steps_{"loss_scale/good_steps", at::zeros({}, at::kLong)} {}

double LossScale::value() const { return *value_.tensor.const_data_ptr<float>(); }

void LossScale::Unscale(const std::vector<OptimParameter>& parameters) const {
  const at::NoGradGuard no_grad;
  std::vector<at::Tensor> gradients;
  for (const OptimParameter& p : parameters) gradients.push_back(p.tensor.grad());
  at::_foreach_mul_(gradients, 1 / value());
}

void LossScale::Update(bool finite) {
  float& scale = *value_.tensor.mutable_data_ptr<float>();
  int64_t& good_steps = *good_steps_.tensor.mutable_data_ptr<int64_t>();
  good_steps = finite ? good_steps + 1 : 0;
  if (!finite) scale = std::max(scale * kBackoff, kSmallest);
  if (good_steps < growth_interval_) return;
  if (std::isfinite(scale * kGrowth)) scale *= kGrowth;
  good_steps = 0;
}

}  // namespace seer::engine
