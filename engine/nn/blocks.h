// The layers that trunks are built of, under torchvision's names, and the base of all segments.
#pragma once

#include <deque>
#include <optional>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "engine/nn/init.h"
#include "engine/nn/segment.h"
#include "engine/nn/sync_batch_norm.h"

namespace seer::engine {

// What layers need while they are built.
// Both must outlive the layers (the initializer only their construction).
struct BuildContext {
  const Initializer& init;
  Communicator& norm_group;
};

// Keeps the lists that every segment owes: layers register themselves while they are built.
class LayeredSegment : public Segment {
 public:
  explicit LayeredSegment(std::string name) : name_(std::move(name)) {}
  const std::string& name() const override { return name_; }
  std::vector<NamedTensor> parameters() const override { return parameters_; }
  std::vector<NamedTensor> buffers() const override { return buffers_; }
  void AppendRunning(const NormMemory& memory, RunningUpdate& update) const override;

 protected:
  // `name`: the reference's, complete. Returns `tensor`.
  at::Tensor AddParameter(const std::string& name, at::Tensor tensor);
  // In the order in which Forward runs them. The reference stays valid.
  SyncBatchNorm& AddNorm(const std::string& name, int64_t channels, const BuildContext& context);

 private:
  friend class ConvNorm;
  friend class SqueezeExcitation;
  const std::string name_;
  std::vector<NamedTensor> parameters_, buffers_;
  std::deque<SyncBatchNorm> norms_;
};

struct ConvShape {
  int64_t in = 0, out = 0;  // channels, multiples of groups
  int64_t kernel = 1;       // pixels, odd
  int64_t stride = 1;
  int64_t groups = 1;
};

// Convolution without bias, norm.
class ConvNorm {
 public:
  // The convolution's weight is `conv_name`.weight, the norm is `norm_name`.
  ConvNorm(LayeredSegment& owner, const std::string& conv_name, const std::string& norm_name,
           const ConvShape& shape, const BuildContext& context);
  // name.0 and name.1, as in a sequence of layers.
  ConvNorm(LayeredSegment& owner, const std::string& name, const ConvShape& shape,
           const BuildContext& context);
  // [N, in, H, W] -> [N, out, ceil(H / stride), ceil(W / stride)], in x's type; padding kernel / 2.
  at::Tensor Forward(const at::Tensor& x, Pass& pass) const;
  at::Tensor ForwardRelu(const at::Tensor& x, Pass& pass) const;  // relu of Forward's result
  // relu(Forward(x) + residual).
  at::Tensor ForwardAddRelu(const at::Tensor& x, const at::Tensor& residual, Pass& pass) const;

 private:
  at::Tensor Convolve(const at::Tensor& x) const;

  const ConvShape shape_;
  at::Tensor weight_;
  SyncBatchNorm& norm_;
};

// The end of every trunk, "avgpool": [N, C, H, W] -> [N, C], the mean over pixels.
class AveragePool final : public LayeredSegment {
 public:
  AveragePool() : LayeredSegment("avgpool") {}
  at::Tensor Forward(const at::Tensor& x, Pass& pass) override;
};

}  // namespace seer::engine
