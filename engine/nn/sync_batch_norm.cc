#include "engine/nn/sync_batch_norm.h"

#include <optional>
#include <utility>

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include "common/base/check.h"
#include "engine/nn/batch_norm_kernels.h"

namespace seer::engine {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

at::Tensor InChannelRows(const at::Tensor& x) {
  return x.contiguous(x.dim() == 4 ? at::MemoryFormat::ChannelsLast : at::MemoryFormat::Contiguous);
}

// Normalises with statistics that were computed before, adds `residual` if that is defined, then
// relu if `relu`; the gradient is the one of training mode, that is, through the statistics.
struct Normalise : torch::autograd::Function<Normalise> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x,
                            const std::optional<at::Tensor>& residual, const at::Tensor& weight,
                            const at::Tensor& bias, const NormStatistics& statistics, bool relu,
                            Communicator* group) {
    const at::Tensor rows = InChannelRows(x);
    const auto [scale, shift, invstd] =
        ForwardCoefficients({statistics.mean, statistics.variance}, weight, bias, kNormEpsilon);
    const at::Tensor y =
        ScaleShift(rows, scale, shift, residual ? InChannelRows(*residual) : at::Tensor(), relu);
    // Without a residual, where the relu passed is computed again: that reads less than y.
    const at::Tensor output = relu && residual ? y : at::Tensor();
    ctx->save_for_backward({rows, weight, statistics.mean, invstd, statistics.count, output,
                            relu && !residual ? scale : at::Tensor(), shift});
    ctx->saved_data["group"] = reinterpret_cast<int64_t>(group);
    ctx->saved_data["residual"] = residual.has_value();
    return y;
  }

  static variable_list backward(AutogradContext* ctx, variable_list gradients) {
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor &x = saved[0], &weight = saved[1], &mean = saved[2], &invstd = saved[3],
                     &count = saved[4];
    const NormRelu relu{saved[5], saved[6], saved[7]};
    auto& group = *reinterpret_cast<Communicator*>(ctx->saved_data["group"].toInt());
    const bool residual = ctx->saved_data["residual"].toBool();
    auto [sums, g] = SumGradients(InChannelRows(gradients[0]), relu, x, mean);
    const auto [dweight, dbias] = ParameterGradients(sums, invstd);
    if (group.size() > 1) group.AllReduce(sums);
    const GradientCoefficients coefficients = BackwardCoefficients(sums, count, weight, invstd);
    const at::Tensor dx = at::empty_like(x);
    CombineGradients(g, relu, x, mean, coefficients, dx);
    return {dx, residual ? g : at::Tensor(), dweight, dbias, {}, {}, {}};
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
  return Apply(x, std::nullopt, /*relu=*/false, pass);
}

at::Tensor SyncBatchNorm::ForwardRelu(const at::Tensor& x, Pass& pass) const {
  return Apply(x, std::nullopt, /*relu=*/true, pass);
}

at::Tensor SyncBatchNorm::ForwardAddRelu(const at::Tensor& x, const at::Tensor& residual,
                                         Pass& pass) const {
  return Apply(x, residual, /*relu=*/true, pass);
}

at::Tensor SyncBatchNorm::Apply(const at::Tensor& x, const std::optional<at::Tensor>& residual,
                                bool relu, Pass& pass) const {
  if (pass.mode == PassMode::kEval) {
    at::Tensor y = std::get<0>(at::native_batch_norm(x, weight_, bias_, running_mean_, running_var_,
                                                     /*training=*/false,
                                                     /*momentum=*/0, kNormEpsilon));
    if (residual) y = y.add_(*residual);
    return relu ? y.relu_() : y;
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
  return Normalise::apply(x, residual, weight_, bias_, memory.entries[memory.cursor - 1], relu,
                          &group_);
}

NormStatistics SyncBatchNorm::BatchStatistics(const at::Tensor& x) const {
  const int64_t channels = x.size(1);
  NormStatistics statistics;
  statistics.count =
      at::full({}, static_cast<double>(x.numel() / channels), x.options().dtype(at::kDouble));
  const ChannelMoments moments = ComputeMoments(InChannelRows(x));
  statistics.mean = moments.mean;
  statistics.variance = moments.variance;
  if (group_.size() == 1) return statistics;
  const at::Tensor packed = PackMoments(moments, statistics.count);
  group_.AllReduce(packed);
  const ChannelMoments of_group = UnpackMoments(packed);
  statistics.mean = of_group.mean;
  statistics.variance = of_group.variance;
  statistics.count = packed[packed.numel() - 1];  // stays on the device: nobody waits for it
  return statistics;
}

void SyncBatchNorm::AppendRunning(const NormStatistics& statistics, RunningUpdate& update) const {
  update.Add(running_mean_, running_var_, statistics.mean, statistics.variance, statistics.count);
}

void SyncBatchNorm::AppendTo(std::vector<NamedTensor>& parameters,
                             std::vector<NamedTensor>& buffers) const {
  parameters.push_back({name_ + ".weight", weight_});
  parameters.push_back({name_ + ".bias", bias_});
  buffers.push_back({name_ + ".running_mean", running_mean_});
  buffers.push_back({name_ + ".running_var", running_var_});
}

}  // namespace seer::engine
