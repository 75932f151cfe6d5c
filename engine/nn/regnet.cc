#include "engine/nn/regnet.h"

#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include <ATen/ATen.h>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"

namespace seer::engine {
namespace {

class Stem final : public LayeredSegment {
 public:
  Stem(int stride, const BuildContext& context)
      : LayeredSegment("stem"),
        conv_(*this, "stem", {3, kRegnetStemWidth, 3, stride, 1}, context) {}
  at::Tensor Forward(const at::Tensor& x, Pass& pass) override {
    return conv_.ForwardRelu(x, pass);
  }

 private:
  const ConvNorm conv_;
};

struct BlockShape {
  int64_t in = 0, out = 0;
  int64_t stride = 1;
  int64_t groups = 1;
  int64_t squeezed = 0;
};

// relu(shortcut(x) + c(se(b(a(x))))):
// 1 x 1, grouped 3 x 3, squeeze-and-excitation, 1 x 1; the bottleneck ratio is 1.
class Block final : public LayeredSegment {
 public:
  Block(const std::string& name, const BlockShape& shape, const BuildContext& context)
      : LayeredSegment(name) {
    if (shape.in != shape.out || shape.stride != 1) {
      proj_.emplace(*this, name + ".proj", ConvShape{shape.in, shape.out, 1, shape.stride, 1},
                    context);
    }
    a_.emplace(*this, name + ".f.a", ConvShape{shape.in, shape.out, 1, 1, 1}, context);
    b_.emplace(*this, name + ".f.b", ConvShape{shape.out, shape.out, 3, shape.stride, shape.groups},
               context);
    if (shape.squeezed > 0) se_.emplace(*this, name + ".f.se", shape.out, shape.squeezed, context);
    c_.emplace(*this, name + ".f.c", ConvShape{shape.out, shape.out, 1, 1, 1}, context);
  }

  at::Tensor Forward(const at::Tensor& x, Pass& pass) override {
    const at::Tensor shortcut = proj_ ? proj_->Forward(x, pass) : x;
    at::Tensor y = a_->ForwardRelu(x, pass);
    y = b_->ForwardRelu(y, pass);
    if (se_) y = se_->Forward(y);
    return c_->Forward(y, pass).add_(shortcut).relu_();
  }

 private:
  std::optional<ConvNorm> proj_, a_, b_, c_;
  std::optional<SqueezeExcitation> se_;
};

class AveragePool final : public LayeredSegment {
 public:
  AveragePool() : LayeredSegment("avgpool") {}
  at::Tensor Forward(const at::Tensor& x, Pass&) override {
    return at::adaptive_avg_pool2d(x, {1, 1}).flatten(1);
  }
};

}  // namespace

absl::StatusOr<Trunk> BuildRegnet(const TrunkConfig& config, const BuildContext& context) {
  SEER_ASSIGN_OR_RETURN(const std::vector<RegnetStage> stages, RegnetStages(config.regnet));
  if (config.stem_stride != 1 && config.stem_stride != 2) {
    return Error(absl::StatusCode::kInvalidArgument, reason::kOutOfRange,
                 absl::StrCat("the stem's stride is ", config.stem_stride, ", not 1 or 2"))
        .Field("stem_stride");
  }
  Trunk trunk;
  trunk.chain.push_back(std::make_unique<Stem>(config.stem_stride, context));
  int64_t in = kRegnetStemWidth;
  for (size_t s = 0; s < stages.size(); ++s) {
    const RegnetStage& stage = stages[s];
    for (int b = 0; b < stage.blocks; ++b) {
      const BlockShape shape = {in, stage.width, b == 0 ? stage.stride : 1,
                                stage.width / stage.group_width,
                                RegnetSqueezeWidth(config.regnet, in)};
      const std::string name = absl::StrCat("trunk_output.block", s + 1, ".block", s + 1, "-", b);
      trunk.chain.push_back(std::make_unique<Block>(name, shape, context));
      in = stage.width;
    }
  }
  trunk.chain.push_back(std::make_unique<AveragePool>());
  trunk.width = in;
  return trunk;
}

}  // namespace seer::engine
