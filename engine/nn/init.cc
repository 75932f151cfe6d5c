#include "engine/nn/init.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include <ATen/ATen.h>

#include "common/base/philox.h"
#include "engine/nn/torch_threads.h"

namespace seer::engine {
namespace {

// Elements drawn from one Philox stream; part of the definition of the weights.
constexpr int64_t kChunk = 4096;

// `tensor`: float, in any memory order; the numbers go by its own, logical one.
template <typename Draw>
void FillWith(at::Tensor& tensor, uint64_t seed, const std::string& name, Draw&& draw) {
  at::Tensor filled = tensor.is_contiguous()
                          ? tensor
                          : at::empty(tensor.sizes(), tensor.options().requires_grad(false));
  float* data = filled.mutable_data_ptr<float>();
  const int64_t count = filled.numel();
  const uint64_t key = StableHash(name);
  OnTorchThreads((count + kChunk - 1) / kChunk, [&](int64_t begin, int64_t end) {
    for (int64_t chunk = begin; chunk < end; ++chunk) {
      Philox random(seed, RandomPurpose::kInitialWeights, key, static_cast<uint32_t>(chunk));
      const int64_t stop = std::min(count, (chunk + 1) * kChunk);
      for (int64_t i = chunk * kChunk; i < stop; ++i) data[i] = static_cast<float>(draw(random));
    }
  });
  if (!tensor.is_contiguous()) tensor.copy_(filled);
}

}  // namespace

at::Tensor Initializer::Parameter(at::IntArrayRef sizes, at::MemoryFormat order,
                                  DeferredWeights::Draw draw) const {
  at::Tensor tensor = at::empty(sizes, at::TensorOptions(at::kFloat), order);
  if (deferred_ == nullptr) {
    draw(tensor);
    return tensor.requires_grad_();
  }
  FreeMemory(tensor);  // none of it was touched
  tensor.requires_grad_();
  deferred_->Add(tensor, std::move(draw));
  return tensor;
}

DeferredWeights::Draw Initializer::NormalDraw(const std::string& name, double std) const {
  return [seed = seed_, name, std](at::Tensor& tensor) {
    FillWith(tensor, seed, name, [std](Philox& random) { return std * random.Normal(); });
  };
}

at::Tensor Initializer::Normal(const std::string& name, at::IntArrayRef sizes, double std) const {
  return Parameter(sizes, at::MemoryFormat::Contiguous, NormalDraw(name, std));
}

at::Tensor Initializer::Uniform(const std::string& name, at::IntArrayRef sizes,
                                double bound) const {
  return Parameter(sizes, at::MemoryFormat::Contiguous,
                   [seed = seed_, name, bound](at::Tensor& tensor) {
                     FillWith(tensor, seed, name,
                              [bound](Philox& random) { return random.Uniform(-bound, bound); });
                   });
}

at::Tensor Initializer::Constant(at::IntArrayRef sizes, double value) const {
  return Parameter(sizes, at::MemoryFormat::Contiguous,
                   [value](at::Tensor& tensor) { tensor.fill_(value); });
}

at::Tensor Initializer::Conv(const std::string& name, int64_t out, int64_t in_per_group,
                             int64_t kernel) const {
  const double fan_out = static_cast<double>(kernel * kernel * out);
  return Parameter({out, in_per_group, kernel, kernel}, at::MemoryFormat::ChannelsLast,
                   NormalDraw(name, std::sqrt(2.0 / fan_out)));
}

at::Tensor Initializer::Linear(const std::string& name, at::IntArrayRef sizes,
                               int64_t inputs) const {
  return Uniform(name, sizes, 1.0 / std::sqrt(static_cast<double>(inputs)));
}

}  // namespace seer::engine
