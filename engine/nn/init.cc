#include "engine/nn/init.h"

#include <algorithm>
#include <cmath>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include "common/base/philox.h"

namespace seer::engine {
namespace {

// Elements drawn from one Philox stream; part of the definition of the weights.
constexpr int64_t kChunk = 4096;

template <typename Draw>
at::Tensor Filled(uint64_t seed, const std::string& name, at::IntArrayRef sizes, Draw&& draw) {
  at::Tensor tensor = at::empty(sizes, at::kFloat);
  float* data = tensor.data_ptr<float>();
  const int64_t count = tensor.numel();
  const uint64_t key = StableHash(name);
  at::parallel_for(0, (count + kChunk - 1) / kChunk, 1, [&](int64_t begin, int64_t end) {
    for (int64_t chunk = begin; chunk < end; ++chunk) {
      Philox random(seed, RandomPurpose::kInitialWeights, key, static_cast<uint32_t>(chunk));
      const int64_t stop = std::min(count, (chunk + 1) * kChunk);
      for (int64_t i = chunk * kChunk; i < stop; ++i) data[i] = static_cast<float>(draw(random));
    }
  });
  return tensor.requires_grad_();
}

}  // namespace

at::Tensor Initializer::Normal(const std::string& name, at::IntArrayRef sizes, double std) const {
  return Filled(seed_, name, sizes, [std](Philox& random) { return std * random.Normal(); });
}

at::Tensor Initializer::Uniform(const std::string& name, at::IntArrayRef sizes,
                                double bound) const {
  return Filled(seed_, name, sizes,
                [bound](Philox& random) { return random.Uniform(-bound, bound); });
}

at::Tensor Initializer::Constant(at::IntArrayRef sizes, double value) const {
  return at::full(sizes, value, at::kFloat).requires_grad_();
}

at::Tensor Initializer::Conv(const std::string& name, int64_t out, int64_t in_per_group,
                             int64_t kernel) const {
  const double fan_out = static_cast<double>(kernel * kernel * out);
  const at::Tensor weight =
      Normal(name, {out, in_per_group, kernel, kernel}, std::sqrt(2.0 / fan_out));
  return weight.detach().contiguous(at::MemoryFormat::ChannelsLast).requires_grad_();
}

at::Tensor Initializer::Linear(const std::string& name, at::IntArrayRef sizes,
                               int64_t inputs) const {
  return Uniform(name, sizes, 1.0 / std::sqrt(static_cast<double>(inputs)));
}

}  // namespace seer::engine
