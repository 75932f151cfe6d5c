// The process's heap under tensors.
#include "engine/session/host_allocator.h"

#include <ATen/ATen.h>
#include <c10/core/CPUAllocator.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>

namespace seer::engine {
namespace {

TEST(HostAllocator, AFreedBlockIsGoodForATensorOfItsSize) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || !defined(__GLIBC__)
  GTEST_SKIP() << "another heap";
#endif
  KeepFreedMemory();
  constexpr int64_t kNumbers = 3 << 20;
  at::Tensor large = at::empty({kNumbers}, at::kFloat);
  const at::Tensor behind = at::empty({1 << 16}, at::kFloat);  // keeps the block's end where it is
  const void* const block = large.data_ptr();
  for (int i = 0; i < 3; ++i) {
    large.reset();
    large = at::empty({kNumbers}, at::kFloat);
    EXPECT_EQ(large.data_ptr(), block);
  }
}

TEST(HostAllocator, BlocksAreAlignedAndMayBeEmpty) {
  KeepFreedMemory();
  for (const int64_t bytes : {1, 63, 64, 65, 4095, 1 << 20}) {
    const at::Tensor tensor = at::zeros({bytes}, at::kByte);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(tensor.data_ptr()) % 64, 0u) << bytes;
    EXPECT_EQ(tensor.sum().item<int64_t>(), 0);
  }
  EXPECT_EQ(at::empty({0}, at::kFloat).numel(), 0);
  c10::Allocator& allocator = *c10::GetCPUAllocator();
  void* const raw = allocator.raw_allocate(100);
  std::memset(raw, 1, 100);
  allocator.raw_deallocate(raw);
  EXPECT_ANY_THROW(at::empty({int64_t{1} << 60}, at::kFloat));
}

}  // namespace
}  // namespace seer::engine
