#include "engine/nn/resnet.h"

#include <memory>
#include <optional>
#include <vector>

#include <ATen/ATen.h>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"

namespace seer::engine {
namespace {

class Stem final : public LayeredSegment {
 public:
  Stem(int64_t width, int stride, const BuildContext& context)
      : LayeredSegment("conv1"), conv_(*this, "conv1", "bn1", {3, width, 7, stride, 1}, context) {}
  at::Tensor Forward(const at::Tensor& x, Pass& pass) override {
    return at::max_pool2d(conv_.ForwardRelu(x, pass), {3, 3}, {2, 2}, {1, 1});
  }

 private:
  const ConvNorm conv_;
};

struct BottleneckShape {
  int64_t in = 0, inner = 0, out = 0;
  int64_t stride = 1;
  int64_t groups = 1;
};

// relu(shortcut(x) + conv3(conv2(conv1(x)))): 1 x 1, grouped 3 x 3 with the stride, 1 x 1.
class Bottleneck final : public LayeredSegment {
 public:
  Bottleneck(const std::string& name, const BottleneckShape& shape, const BuildContext& context)
      : LayeredSegment(name),
        conv1_(*this, name + ".conv1", name + ".bn1", {shape.in, shape.inner, 1, 1, 1}, context),
        conv2_(*this, name + ".conv2", name + ".bn2",
               {shape.inner, shape.inner, 3, shape.stride, shape.groups}, context),
        conv3_(*this, name + ".conv3", name + ".bn3", {shape.inner, shape.out, 1, 1, 1}, context) {
    if (shape.in != shape.out || shape.stride != 1) {
      downsample_.emplace(*this, name + ".downsample",
                          ConvShape{shape.in, shape.out, 1, shape.stride, 1}, context);
    }
  }

  at::Tensor Forward(const at::Tensor& x, Pass& pass) override {
    at::Tensor y = conv1_.ForwardRelu(x, pass);
    y = conv2_.ForwardRelu(y, pass);
    y = conv3_.Forward(y, pass);
    return y.add_(downsample_ ? downsample_->Forward(x, pass) : x).relu_();
  }

 private:
  const ConvNorm conv1_, conv2_, conv3_;
  std::optional<ConvNorm> downsample_;
};

}  // namespace

absl::StatusOr<Chain> BuildResnet(const ResnetParams& params, int stem_stride,
                                  const BuildContext& context) {
  SEER_ASSIGN_OR_RETURN(const std::vector<ResnetStage> stages, ResnetStages(params));
  Chain chain;
  chain.push_back(std::make_unique<Stem>(params.stem_width, stem_stride, context));
  int64_t in = params.stem_width;
  for (size_t s = 0; s < stages.size(); ++s) {
    const ResnetStage& stage = stages[s];
    for (int b = 0; b < stage.blocks; ++b) {
      const BottleneckShape shape = {in, stage.inner_width, stage.width, b == 0 ? stage.stride : 1,
                                     params.groups};
      chain.push_back(
          std::make_unique<Bottleneck>(absl::StrCat("layer", s + 1, ".", b), shape, context));
      in = stage.width;
    }
  }
  chain.push_back(std::make_unique<AveragePool>());
  return chain;
}

}  // namespace seer::engine
