#include "engine/nn/blocks.h"

#include <ATen/ATen.h>

#include "common/base/check.h"

namespace seer::engine {

void LayeredSegment::UpdateRunningStatistics(const NormMemory& memory) {
  SEER_CHECK(memory.entries.size() == norms_.size())
      << name_ << ": " << memory.entries.size() << " statistics";
  for (size_t i = 0; i < norms_.size(); ++i) norms_[i].UpdateRunning(memory.entries[i]);
}

at::Tensor LayeredSegment::AddParameter(const std::string& name, at::Tensor tensor) {
  parameters_.push_back({name, tensor});
  return tensor;
}

SyncBatchNorm& LayeredSegment::AddNorm(const std::string& name, int64_t channels,
                                       const BuildContext& context) {
  SyncBatchNorm& norm = norms_.emplace_back(name, channels, context.init, context.norm_group);
  norm.AppendTo(parameters_, buffers_);
  return norm;
}

ConvNorm::ConvNorm(LayeredSegment& owner, const std::string& conv_name,
                   const std::string& norm_name, const ConvShape& shape,
                   const BuildContext& context)
    : shape_(shape),
      weight_(owner.AddParameter(conv_name + ".weight",
                                 context.init.Conv(conv_name + ".weight", shape.out,
                                                   shape.in / shape.groups, shape.kernel))),
      norm_(owner.AddNorm(norm_name, shape.out, context)) {}

ConvNorm::ConvNorm(LayeredSegment& owner, const std::string& name, const ConvShape& shape,
                   const BuildContext& context)
    : ConvNorm(owner, name + ".0", name + ".1", shape, context) {}

at::Tensor ConvNorm::Convolve(const at::Tensor& x) const {
  const int64_t padding = shape_.kernel / 2;
  return at::conv2d(x, weight_.to(x.scalar_type()), {}, {shape_.stride, shape_.stride},
                    {padding, padding}, {1, 1}, shape_.groups);
}

at::Tensor ConvNorm::Forward(const at::Tensor& x, Pass& pass) const {
  return norm_.Forward(Convolve(x), pass);
}

at::Tensor ConvNorm::ForwardRelu(const at::Tensor& x, Pass& pass) const {
  return norm_.ForwardRelu(Convolve(x), pass);
}

at::Tensor ConvNorm::ForwardAddRelu(const at::Tensor& x, const at::Tensor& residual,
                                    Pass& pass) const {
  return norm_.ForwardAddRelu(Convolve(x), residual, pass);
}

SqueezeExcitation::SqueezeExcitation(LayeredSegment& owner, const std::string& name, int64_t width,
                                     int64_t squeezed, const BuildContext& context) {
  const Initializer& init = context.init;
  const auto conv = [&](const std::string& layer, int64_t out, int64_t in) {
    return owner.AddParameter(name + layer + ".weight",
                              init.Conv(name + layer + ".weight", out, in, 1));
  };
  const auto bias = [&](const std::string& layer, int64_t out, int64_t in) {
    return owner.AddParameter(name + layer + ".bias",
                              init.Linear(name + layer + ".bias", {out}, in));
  };
  fc1_weight_ = conv(".fc1", squeezed, width);
  fc1_bias_ = bias(".fc1", squeezed, width);
  fc2_weight_ = conv(".fc2", width, squeezed);
  fc2_bias_ = bias(".fc2", width, squeezed);
}

at::Tensor SqueezeExcitation::Forward(const at::Tensor& x) const {
  const auto type = x.scalar_type();
  // As matrix products: the same numbers as 1 x 1 convolutions of one pixel, and quicker.
  at::Tensor s = at::adaptive_avg_pool2d(x, {1, 1}).flatten(1);
  s = at::linear(s, fc1_weight_.flatten(1).to(type), fc1_bias_.to(type)).relu_();
  s = at::linear(s, fc2_weight_.flatten(1).to(type), fc2_bias_.to(type)).sigmoid_();
  return x * s.unsqueeze(-1).unsqueeze(-1);
}

at::Tensor AveragePool::Forward(const at::Tensor& x, Pass&) {
  return at::adaptive_avg_pool2d(x, {1, 1}).flatten(1);
}

}  // namespace seer::engine
