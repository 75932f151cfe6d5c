#include "engine/nn/regnet.h"

#include <memory>
#include <optional>
#include <vector>

#include <ATen/ATen.h>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "engine/nn/squeeze_excitation.h"

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
    return c_->ForwardAddRelu(y, shortcut, pass);
  }

 private:
  std::optional<ConvNorm> proj_, a_, b_, c_;
  std::optional<SqueezeExcitation> se_;
};

}  // namespace

absl::StatusOr<Chain> BuildRegnet(const RegnetParams& params, int stem_stride,
                                  const BuildContext& context) {
  SEER_ASSIGN_OR_RETURN(const std::vector<RegnetStage> stages, RegnetStages(params));
  Chain chain;
  chain.push_back(std::make_unique<Stem>(stem_stride, context));
  int64_t in = kRegnetStemWidth;
  for (size_t s = 0; s < stages.size(); ++s) {
    const RegnetStage& stage = stages[s];
    for (int b = 0; b < stage.blocks; ++b) {
      const BlockShape shape = {in, stage.width, b == 0 ? stage.stride : 1,
                                stage.width / stage.group_width, RegnetSqueezeWidth(params, in)};
      const std::string name = absl::StrCat("trunk_output.block", s + 1, ".block", s + 1, "-", b);
      chain.push_back(std::make_unique<Block>(name, shape, context));
      in = stage.width;
    }
  }
  chain.push_back(std::make_unique<AveragePool>());
  return chain;
}

}  // namespace seer::engine
