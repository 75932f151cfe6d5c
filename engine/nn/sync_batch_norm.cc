#include "engine/nn/sync_batch_norm.h"

#include <utility>

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include "common/base/check.h"

namespace seer::engine {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// y = x · scale + shift, a channel each, in one pass over x:
// the evaluation form of batch norm with mean 0, variance 1.
at::Tensor ChannelAffine(const at::Tensor& x, const at::Tensor& scale, const at::Tensor& shift) {
  return std::get<0>(at::native_batch_norm(x, scale, shift, at::zeros_like(scale),
                                           at::ones_like(scale),
                                           /*training=*/false, /*momentum=*/0, /*eps=*/0));
}

// Normalises with statistics that were computed before;
// the gradient is the one of training mode, that is, through them.
struct Normalise : torch::autograd::Function<Normalise> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& weight,
                            const at::Tensor& bias, const at::Tensor& mean,
                            const at::Tensor& variance, double count, int64_t group) {
    ctx->save_for_backward({x, weight, mean, variance});
    ctx->saved_data["count"] = count;
    ctx->saved_data["group"] = group;
    return std::get<0>(at::native_batch_norm(x, weight, bias, mean, variance, /*training=*/false,
                                             /*momentum=*/0, kNormEpsilon));
  }

  static variable_list backward(AutogradContext* ctx, variable_list gradients) {
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor &x = saved[0], &weight = saved[1], &mean = saved[2], &variance = saved[3];
    auto& group = *reinterpret_cast<Communicator*>(ctx->saved_data["group"].toInt());
    const at::Tensor dy = gradients[0].contiguous(x.suggest_memory_format());
    const at::Tensor invstd = at::rsqrt(variance + kNormEpsilon);
    if (group.size() == 1) {
      auto [dx, dweight, dbias] = at::native_batch_norm_backward(
          dy, x, weight, {}, {}, mean, invstd, /*train=*/true, kNormEpsilon, {true, true, true});
      return {dx, dweight, dbias, {}, {}, {}, {}};
    }
    // Evaluation mode gives this rank's sums: dweight = sum dy·x̂, dbias = sum dy.
    auto [unused, dweight, dbias] =
        at::native_batch_norm_backward(dy, x, weight, mean, variance, {}, {},
                                       /*train=*/false, kNormEpsilon, {false, true, true});
    const int64_t channels = mean.numel();
    at::Tensor sums = at::cat({dweight.reshape({-1}), dbias.reshape({-1})}).to(at::kDouble);
    group.AllReduce(sums);
    sums.div_(ctx->saved_data["count"].toDouble());
    // dx = weight · invstd · (dy − mean(dy) − x̂ · mean(dy·x̂)) = a·dy + b·x + c
    const at::Tensor a = weight.to(at::kDouble) * invstd.to(at::kDouble);
    const at::Tensor b = -a * invstd.to(at::kDouble) * sums.narrow(0, 0, channels);
    const at::Tensor c = -a * sums.narrow(0, channels, channels) - b * mean.to(at::kDouble);
    at::Tensor dx = ChannelAffine(x, b.to(at::kFloat), c.to(at::kFloat));
    dx.add_(ChannelAffine(dy, a.to(at::kFloat), at::zeros_like(mean)));
    return {dx, dweight, dbias, {}, {}, {}, {}};
  }
};

}  // namespace

SyncBatchNorm::SyncBatchNorm(std::string name, int64_t channels, const Initializer& init,
                             Communicator& group)
    : name_(std::move(name)),
      group_(group),
      weight_(init.Constant({channels}, 1)),
      bias_(init.Constant({channels}, 0)),
      running_mean_(at::zeros({channels}, at::kFloat)),
      running_var_(at::ones({channels}, at::kFloat)) {}

at::Tensor SyncBatchNorm::Forward(const at::Tensor& x, Pass& pass) const {
  if (pass.mode == PassMode::kEval) {
    return std::get<0>(at::native_batch_norm(x, weight_, bias_, running_mean_, running_var_,
                                             /*training=*/false,
                                             /*momentum=*/0, kNormEpsilon));
  }
  SEER_CHECK(pass.memory != nullptr) << "a training pass without norm memory";
  NormMemory& memory = *pass.memory;
  if (pass.mode == PassMode::kTrain) {
    memory.entries.push_back(BatchStatistics(x.detach()));
    memory.cursor = memory.entries.size();
  } else {
    SEER_CHECK(memory.cursor < memory.entries.size())
        << "recompute of more norm layers than were run";
    ++memory.cursor;
  }
  const NormStatistics& statistics = memory.entries[memory.cursor - 1];
  return Normalise::apply(x, weight_, bias_, statistics.mean, statistics.variance, statistics.count,
                          reinterpret_cast<int64_t>(&group_));
}

NormStatistics SyncBatchNorm::BatchStatistics(const at::Tensor& x) const {
  const int64_t channels = x.size(1);
  NormStatistics statistics;
  statistics.count = static_cast<double>(x.numel() / channels);
  // Two passes over x (mean, then squared deviations), accumulated in float. The running statistics
  // given are scratch: they only tell the kernel that statistics are float where x is bfloat16.
  std::tie(statistics.mean, statistics.variance) = at::batch_norm_update_stats(
      x, at::zeros({channels}, at::kFloat), at::ones({channels}, at::kFloat), 0);
  if (group_.size() == 1) return statistics;
  // Raw moments of float data are exact enough in double:
  // the cancellation is of 53 bits against 24.
  const at::Tensor mean = statistics.mean.to(at::kDouble),
                   variance = statistics.variance.to(at::kDouble);
  at::Tensor sums =
      at::cat({mean, variance + mean * mean, at::ones({1}, at::kDouble)}).mul_(statistics.count);
  group_.AllReduce(sums);
  statistics.count = sums[2 * channels].item<double>();
  sums.div_(statistics.count);
  const at::Tensor group_mean = sums.narrow(0, 0, channels);
  statistics.mean = group_mean.to(at::kFloat);
  statistics.variance =
      (sums.narrow(0, channels, channels) - group_mean * group_mean).clamp_min_(0).to(at::kFloat);
  return statistics;
}

void SyncBatchNorm::UpdateRunning(const NormStatistics& statistics) {
  const double unbias = statistics.count > 1 ? statistics.count / (statistics.count - 1) : 1;
  running_mean_.lerp_(statistics.mean, kNormMomentum);
  running_var_.lerp_(statistics.variance * unbias, kNormMomentum);
}

void SyncBatchNorm::AppendTo(std::vector<NamedTensor>& parameters,
                             std::vector<NamedTensor>& buffers) const {
  parameters.push_back({name_ + ".weight", weight_});
  parameters.push_back({name_ + ".bias", bias_});
  buffers.push_back({name_ + ".running_mean", running_mean_});
  buffers.push_back({name_ + ".running_var", running_var_});
}

}  // namespace seer::engine
