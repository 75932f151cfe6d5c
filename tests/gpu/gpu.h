// What tests on a GPU share.
#pragma once

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "engine/device/device.h"
#include "tests/support/status_matchers.h"

namespace seer::engine::testing {

inline constexpr char kGpu[] = "cuda:0";

// The first GPU; a test without one fails and says what is missing.
inline std::unique_ptr<Device> OpenGpu() {
  auto device = OpenDevice(kGpu);
  EXPECT_OK(device.status());
  return device.ok() ? *std::move(device) : nullptr;
}

inline at::Tensor Random(at::IntArrayRef sizes, uint64_t seed, at::ScalarType type = at::kFloat) {
  return at::randn(sizes, at::detail::createCPUGenerator(seed), at::kFloat).to(type);
}

// Within `tolerance` of the largest number of `expected`.
inline void ExpectNear(const at::Tensor& actual, const at::Tensor& expected, double tolerance,
                       const std::string& what) {
  const at::Tensor wide = expected.cpu().to(at::kDouble);
  const double scale = wide.abs().max().item<double>() + 1e-12;
  EXPECT_LE((actual.cpu().to(at::kDouble) - wide).abs().max().item<double>(), tolerance * scale)
      << what;
}

}  // namespace seer::engine::testing
