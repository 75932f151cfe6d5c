#include "engine/nn/squeeze_excitation.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include "engine/nn/channel_rows.h"
#include "engine/nn/squeeze_excitation_kernels.h"

namespace seer::engine {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

at::Tensor OverPixels(const at::Tensor& of_channels) {
  return of_channels.unsqueeze(-1).unsqueeze(-1);
}

// Runs of this many pixels are summed by themselves, so that a float holds the sum of all.
constexpr int64_t kRun = 64;

template <typename T>
void ProductsInto(const at::Tensor& g, const at::Tensor& x, const at::Tensor& sums) {
  const int64_t channels = x.size(1), pixels = x.size(2) * x.size(3);
  const T* const above = Data<T>(g);
  const T* const in = Data<T>(x);
  float* const to = Data<float>(sums);
  ForChunks(
      x.size(0), [=](int64_t begin, int64_t end) __attribute__((always_inline)) {
        for (int64_t run = begin * pixels, n = begin; n < end; ++n) {
          float* __restrict total = to + 2 * n * channels;
          float* __restrict part = total + channels;
          for (const int64_t last = (n + 1) * pixels; run < last;) {
            const int64_t stop = std::min(run + kRun, last);
            for (int64_t c = 0; c < channels; ++c) part[c] = 0;
            for (; run < stop; ++run) {
              const T* __restrict d = above + run * channels;
              const T* __restrict v = in + run * channels;
#pragma GCC ivdep
              for (int64_t c = 0; c < channels; ++c) part[c] += Load(d[c]) * Load(v[c]);
            }
            for (int64_t c = 0; c < channels; ++c) total[c] += part[c];
          }
        }
      });
}

template <typename T>
void GradientInto(const at::Tensor& g, const at::Tensor& gate, const at::Tensor& shift,
                  const at::Tensor& out) {
  const int64_t channels = g.size(1), pixels = g.size(2) * g.size(3);
  const T* const above = Data<T>(g);
  const float *const scales = Data<float>(gate), *const shifts = Data<float>(shift);
  T* const to = Data<T>(out);
  ForChunks(
      g.size(0), [=](int64_t begin, int64_t end) __attribute__((always_inline)) {
        for (int64_t n = begin; n < end; ++n) {
          const float* __restrict s = scales + n * channels;
          const float* __restrict b = shifts + n * channels;
          for (int64_t row = n * pixels; row < (n + 1) * pixels; ++row) {
            const T* __restrict d = above + row * channels;
            T* __restrict dx = to + row * channels;
#pragma GCC ivdep
            for (int64_t c = 0; c < channels; ++c) Store(Load(d[c]) * s[c] + b[c], dx[c]);
          }
        }
      });
}

// Kernels of our own take them; what lies in another order is LibTorch's.
bool InRows(const at::Tensor& g, const at::Tensor& x) {
  return HasChannelRows(x) && HasChannelRows(g) && g.scalar_type() == x.scalar_type();
}

// [N, C] float: sum of g · x over the pixels.
at::Tensor PixelProducts(const at::Tensor& g, const at::Tensor& x) {
  if (!InRows(g, x)) return (g * x).sum({2, 3}, /*keepdim=*/false, at::kFloat);
  if (x.is_cuda()) return SumPixelsOnGpu(x, g);
  const at::Tensor sums = at::zeros({x.size(0), 2, x.size(1)}, at::kFloat);  // total, run
  ForType(x, [&]<typename T>() { ProductsInto<T>(g, x, sums); });
  return sums.select(1, 0);
}

// g · gate + shift; gate, shift: [N, C] float.
at::Tensor PixelGradient(const at::Tensor& g, const at::Tensor& gate, const at::Tensor& shift) {
  if (!InRows(g, g)) return (g * OverPixels(gate) + OverPixels(shift)).to(g.scalar_type());
  if (g.is_cuda()) return ScalePixelsOnGpu(g, gate.contiguous(), shift.contiguous());
  const at::Tensor out = at::empty_like(g);
  ForType(g, [&]<typename T>() { GradientInto<T>(g, gate.contiguous(), shift.contiguous(), out); });
  return out;
}

// [N, C], the mean over pixels, in x's type.
at::Tensor PixelMean(const at::Tensor& x) {
  if (!x.is_cuda() || !InRows(x, x)) return at::adaptive_avg_pool2d(x, {1, 1}).flatten(1);
  return SumPixelsOnGpu(x, {}).div_(double(x.size(2) * x.size(3))).to(x.scalar_type());
}

// x · gate.
at::Tensor Gated(const at::Tensor& x, const at::Tensor& gate) {
  if (!x.is_cuda() || !InRows(x, x)) return x * OverPixels(gate);
  return ScalePixelsOnGpu(x, gate.to(at::kFloat), {});
}

struct Excite : torch::autograd::Function<Excite> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& weight1,
                            const at::Tensor& bias1, const at::Tensor& weight2,
                            const at::Tensor& bias2) {
    const auto type = x.scalar_type();
    // As matrix products: the same numbers as 1 x 1 convolutions of one pixel, and quicker.
    const at::Tensor mean = PixelMean(x);
    const at::Tensor hidden = at::linear(mean, weight1.flatten(1).to(type), bias1.to(type)).relu_();
    const at::Tensor gate =
        at::linear(hidden, weight2.flatten(1).to(type), bias2.to(type)).sigmoid_();
    ctx->save_for_backward({x, mean, hidden, gate, weight1, weight2});
    return Gated(x, gate);
  }

  static variable_list backward(AutogradContext* ctx, variable_list gradients) {
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor &x = saved[0], &weight1 = saved[4], &weight2 = saved[5];
    const at::Tensor mean = saved[1].to(at::kFloat), hidden = saved[2].to(at::kFloat),
                     gate = saved[3].to(at::kFloat);
    const at::Tensor g = gradients[0].contiguous(x.suggest_memory_format());
    const at::Tensor d2 = PixelProducts(g, x) * gate * (1 - gate);
    const at::Tensor d1 = at::mm(d2, weight2.flatten(1)) * (hidden > 0);
    const at::Tensor shift = at::mm(d1, weight1.flatten(1)) / double(x.size(2) * x.size(3));
    return {PixelGradient(g, gate, shift), at::mm(d1.t(), mean).view(weight1.sizes()), d1.sum({0}),
            at::mm(d2.t(), hidden).view(weight2.sizes()), d2.sum({0})};
  }
};

}  // namespace

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
  return Excite::apply(x, fc1_weight_, fc1_bias_, fc2_weight_, fc2_bias_);
}

}  // namespace seer::engine
