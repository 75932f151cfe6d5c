#include "engine/nn/blocks.h"

#include <optional>
#include <utility>

#include <ATen/ATen.h>

#include "common/base/check.h"
#include "engine/nn/grouped_conv.h"

namespace seer::engine {

void LayeredSegment::AppendRunning(const NormMemory& memory, RunningUpdate& update) const {
  SEER_CHECK(memory.entries.size() == norms_.size())
      << name_ << ": " << memory.entries.size() << " statistics";
  for (size_t i = 0; i < norms_.size(); ++i) norms_[i].AppendRunning(memory.entries[i], update);
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
  if (shape_.groups > 1) {
    if (std::optional<at::Tensor> y = GroupedConvOnGpu(x, weight_, shape_.stride, shape_.groups))
      return *std::move(y);
  }
  const at::Tensor weight = weight_.to(x.scalar_type());
  // On a CPU, products of a pixel's channels are quicker as one matrix product: oneDNN's
  // convolution brings the weights into an order of its own first, for each pass anew.
  if (shape_.kernel == 1 && shape_.stride == 1 && shape_.groups == 1 && x.is_cpu() &&
      x.is_contiguous(at::MemoryFormat::ChannelsLast))
    return at::linear(x.permute({0, 2, 3, 1}), weight.flatten(1)).permute({0, 3, 1, 2});
  const int64_t padding = shape_.kernel / 2;
  return at::conv2d(x, weight, {}, {shape_.stride, shape_.stride}, {padding, padding}, {1, 1},
                    shape_.groups);
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

at::Tensor AveragePool::Forward(const at::Tensor& x, Pass&) {
  return at::adaptive_avg_pool2d(x, {1, 1}).flatten(1);
}

}  // namespace seer::engine
