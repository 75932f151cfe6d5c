#include "engine/nn/swav_head.h"

#include <vector>

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "absl/strings/str_cat.h"

namespace seer::engine {
namespace {

constexpr double kTinyNorm = 1e-12;

at::Tensor UnitRows(const at::Tensor& x) {
  return x / x.norm(2, {1}, /*keepdim=*/true).clamp_min(kTinyNorm);
}

class SwavHead final : public LayeredSegment {
 public:
  SwavHead(const HeadConfig& config, int64_t input_width, const BuildContext& context)
      : LayeredSegment("projection_head") {
    int index = 0;
    int64_t in = input_width;
    for (const int64_t width : config.hidden) {
      AddLinear(absl::StrCat("projection_head.", index++), in, width, context);
      if (config.batch_norm)
        norms_.push_back(&AddNorm(absl::StrCat("projection_head.", index++), width, context));
      ++index;  // the activation has a place of its own in the reference's nn.Sequential
      in = width;
    }
    AddLinear(config.hidden.empty() ? "projection_head" : absl::StrCat("projection_head.", index),
              in, config.output_dim, context);
  }

  at::Tensor Forward(const at::Tensor& x, Pass& pass) override {
    const auto type = x.scalar_type();
    at::Tensor y = x;
    for (size_t i = 0; i < layers_.size(); ++i) {
      y = at::linear(y, layers_[i].weight.to(type), layers_[i].bias.to(type));
      if (i + 1 == layers_.size()) break;
      y = norms_.empty() ? y.relu_() : norms_[i]->ForwardRelu(y, pass);
    }
    return UnitRows(y.to(at::kFloat));
  }

 private:
  struct Linear {
    at::Tensor weight, bias;
  };
  void AddLinear(const std::string& name, int64_t in, int64_t out, const BuildContext& context) {
    layers_.push_back(
        {AddParameter(name + ".weight", context.init.Linear(name + ".weight", {out, in}, in)),
         AddParameter(name + ".bias", context.init.Linear(name + ".bias", {out}, in))});
  }

  std::vector<Linear> layers_;
  std::vector<const SyncBatchNorm*> norms_;
};

}  // namespace

std::unique_ptr<Segment> BuildSwavHead(const HeadConfig& config, int64_t input_width,
                                       const BuildContext& context) {
  return std::make_unique<SwavHead>(config, input_width, context);
}

std::vector<NamedTensor> BuildPrototypes(const HeadConfig& config, const Initializer& init) {
  std::vector<int64_t> sizes = {config.prototypes};
  sizes.insert(sizes.end(), config.extra_prototypes.begin(), config.extra_prototypes.end());
  std::vector<NamedTensor> layers;
  for (size_t i = 0; i < sizes.size(); ++i) {
    const std::string name = sizes.size() == 1
                                 ? "prototypes.weight"
                                 : absl::StrCat("prototypes.prototypes", i, ".weight");
    layers.push_back({name, init.Linear(name, {sizes[i], config.output_dim}, config.output_dim)});
  }
  return layers;
}

void NormaliseRows(at::Tensor& rows) {
  const at::NoGradGuard no_grad;
  rows.copy_(UnitRows(rows));
}

}  // namespace seer::engine
