// Initial weights as a pure function of (seed, parameter name, element): they do not depend on the
// order in which layers are built, on the number of ranks or on threads.
#pragma once

#include <cstdint>
#include <string>

#include <ATen/core/Tensor.h>

#include "engine/nn/deferred.h"

namespace seer::engine {

class Initializer {
 public:
  // With `deferred`, which must outlive this, parameters get no memory, and are drawn by it later.
  explicit Initializer(uint64_t seed, DeferredWeights* deferred = nullptr)
      : seed_(seed), deferred_(deferred) {}

  // All return float leaves that require a gradient. `name`: the parameter's, which keys the
  // numbers. Mean 0, standard deviation `std`.
  at::Tensor Normal(const std::string& name, at::IntArrayRef sizes, double std) const;
  // In [-bound, bound).
  at::Tensor Uniform(const std::string& name, at::IntArrayRef sizes, double bound) const;
  at::Tensor Constant(at::IntArrayRef sizes, double value) const;

  // [out, in_per_group, kernel, kernel]. torchvision's rule for RegNet and ResNet: normal,
  // variance 2 / (kernel² · out), groups ignored. Channels last in memory, as the activations are:
  // with another order oneDNN takes slow paths in the backward pass.
  at::Tensor Conv(const std::string& name, int64_t out, int64_t in_per_group, int64_t kernel) const;
  // torch's default for linear layers and the biases of convolutions: uniform within
  // 1 / sqrt(inputs). The reference implementation of SwAV leaves its head at that.
  at::Tensor Linear(const std::string& name, at::IntArrayRef sizes, int64_t inputs) const;

 private:
  at::Tensor Parameter(at::IntArrayRef sizes, at::MemoryFormat order,
                       DeferredWeights::Draw draw) const;
  DeferredWeights::Draw NormalDraw(const std::string& name, double std) const;

  const uint64_t seed_;
  DeferredWeights* const deferred_;
};

}  // namespace seer::engine
