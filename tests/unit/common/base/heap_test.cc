#include "common/base/heap.h"

#include <gtest/gtest.h>

#include <cstdlib>

#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#include <malloc.h>

namespace seer {
namespace {

constexpr size_t kLarge = size_t{4} << 20;

bool IsTheKernels() {
  void* volatile block = malloc(kLarge);  // not to be optimised away
  const bool mapped = mallinfo2().hblkhd >= kLarge;
  free(block);
  return mapped && mallinfo2().hblkhd < kLarge;
}

// In a process of its own, as it is for a whole life.
TEST(Heap, LargeBlocksAreGivenBackHoweverOftenTheyAreFreed) {
  EXPECT_EXIT(
      {
        KeepHeapSmall();
        bool all = true;
        for (int i = 0; i < 5; ++i) all = all && IsTheKernels();
        std::_Exit(all ? 0 : 1);
      },
      ::testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace seer
#endif
