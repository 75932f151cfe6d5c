#include "common/base/heap.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "absl/time/clock.h"

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
  // In a process of its own: what tests before this one freed has moved malloc's threshold here.
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        KeepHeapSmall();
        bool all = true;
        for (int i = 0; i < 5; ++i) all = all && IsTheKernels();
        std::_Exit(all ? 0 : 1);
      },
      ::testing::ExitedWithCode(0), "");
}

// Pages of this process's own, in bytes.
size_t PrivateBytes() {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    if (word != "RssAnon:") continue;
    size_t kilobytes = 0;
    status >> kilobytes;
    return kilobytes << 10;
  }
  return 0;
}

// The last block stays, so that free() alone gives nothing back.
TEST(Heap, WhatIsFreeBelowABlockInUseIsGivenBack) {
  constexpr size_t kBlock = size_t{64} << 10, kBlocks = 512, kAll = kBlock * kBlocks;
  EXPECT_EXIT(
      {
        KeepHeapSmall();
        std::vector<std::unique_ptr<char[]>> blocks;
        for (size_t i = 0; i < kBlocks; ++i) {
          blocks.push_back(std::make_unique<char[]>(kBlock));  // with zeros: its pages are there
        }
        const auto last = std::make_unique<int>(1);
        const size_t most = PrivateBytes();
        blocks.clear();
        if (PrivateBytes() + kAll / 2 < most) std::_Exit(2);  // then this tests nothing
        const HeapReleaser releaser(absl::Milliseconds(1));
        const absl::Time end = absl::Now() + absl::Minutes(1);
        while (PrivateBytes() + kAll * 9 / 10 > most && absl::Now() < end)
          absl::SleepFor(absl::Milliseconds(1));  // pages give no event
        std::_Exit(absl::Now() < end ? 0 : 1);
      },
      ::testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace seer
#endif
