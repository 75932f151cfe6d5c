// Damaged image files through the decoder: no crash, no answer that contradicts itself, no more
// memory than the limits and the file's bytes allow. SEER_FUZZ_ROUNDS=100000 makes it long;
// SEER_FUZZ_FIRST=n begins at round n, as a failure names it. Meant for the preset asan as well.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <map>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/base/philox.h"
#include "tests/fuzz/mutate_image.h"
#include "tests/support/damaged_images.h"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>

// As sanitizer/allocator_interface.h has them, which some compilers come without.
extern "C" int __sanitizer_install_malloc_and_free_hooks(void (*malloc_hook)(const volatile void*,
                                                                             size_t),
                                                         void (*free_hook)(const volatile void*));
extern "C" size_t __sanitizer_get_allocated_size(const volatile void* memory);
#endif

namespace seer::testing {
namespace {

constexpr uint64_t kSeed = 20'261'125;
constexpr int64_t kDefaultRounds = 4'000;
// Every cost of a decoder is bounded by these two: a file has at most so many bytes (mutations
// keep below it), an image at most so many pixels.
constexpr size_t kMaxFileBytes = size_t{64} << 10;
constexpr int64_t kMaxPixels = int64_t{1} << 20;
// Of one image: 3 bytes a pixel of the result and of its upright copy, 6 of a progressive JPEG's
// coefficients for up to 4 components, 4 of a TIFF's strip, and what the libraries take to start.
constexpr int64_t kMaxMemory = kMaxPixels * 36 + (int64_t{24} << 20);

int64_t Setting(const char* name, int64_t otherwise) {
  const char* text = std::getenv(name);
  int64_t value = 0;
  return text != nullptr && absl::SimpleAtoi(text, &value) && value >= 0 ? value : otherwise;
}

std::atomic<int64_t> current_round{0};

// Bytes handed out while one image is decoded. Counted by the sanitizer's allocator alone; without
// it the process's peak is looked at.
class MemoryMeter {
 public:
  static void Begin() {
    live = 0;
    most = 0;
  }
  static int64_t Most() { return most; }
  static void Install() {
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_install_malloc_and_free_hooks(
        [](const volatile void*, size_t size) {
          live += static_cast<int64_t>(size);
          most = std::max<int64_t>(most, live);
        },
        [](const volatile void* memory) {
          if (memory == nullptr) return;
          live -= static_cast<int64_t>(__sanitizer_get_allocated_size(memory));
        });
    __sanitizer_set_death_callback([] {
      std::fprintf(stderr, "in round %lld\n", static_cast<long long>(current_round.load()));
    });
#endif
  }

 private:
  static inline int64_t live = 0, most = 0;  // the test has one thread
};

TEST(Mutate, EveryRoundGivesAnErrorOrAnImageWithinTheBounds) {
  const auto files = SmallImageFiles();
  const int64_t first = Setting("SEER_FUZZ_FIRST", 0);
  const int64_t rounds = Setting("SEER_FUZZ_ROUNDS", kDefaultRounds);
  MemoryMeter::Install();
  std::map<std::string, std::array<int64_t, 2>> outcomes;  // of a file: refused, decoded
  const int64_t before = PeakBytes();
  for (int64_t round = first; round < first + rounds; ++round) {
    current_round = round;
    const auto& [name, file] = files[static_cast<size_t>(round) % files.size()];
    Philox random(kSeed, RandomPurpose::kTest, static_cast<uint64_t>(round));
    std::string bytes = file;
    std::string what;
    for (uint64_t damages = random.Below(3) + 1; damages > 0; --damages) {
      Mutation mutation = MutateImage(bytes, files, random);
      bytes = std::move(mutation.bytes);
      absl::StrAppend(&what, what.empty() ? "" : ", ", mutation.what);
    }
    if (bytes.size() > kMaxFileBytes) bytes.resize(kMaxFileBytes);
    bytes.shrink_to_fit();  // a sanitizer then sees a read past the end
    SCOPED_TRACE(absl::StrCat("round ", round, ": ", name, ", ", what));
    dataservice::DecodeLimits limits;
    limits.max_pixels = kMaxPixels;
    MemoryMeter::Begin();
    ExpectSafe(bytes, false, limits);
    if (HasFatalFailure()) return;
    ASSERT_LE(MemoryMeter::Most(), kMaxMemory);
    ++outcomes[name][dataservice::Decode(bytes, {0, 0, limits}).ok() ? 1 : 0];
  }
#ifndef __SANITIZE_ADDRESS__
  EXPECT_LT(PeakBytes() - before, 2 * kMaxMemory);
#else
  (void)before;
#endif
  for (const auto& [name, counts] : outcomes) {
    std::printf("%-28s %8lld refused %8lld decoded\n", name.c_str(),
                static_cast<long long>(counts[0]), static_cast<long long>(counts[1]));
    if (rounds < kDefaultRounds) continue;
    EXPECT_GT(counts[0], 0) << name << ": the damage does not reach the decoder";
    EXPECT_GT(counts[1], 0) << name << ": nothing gets past the first check";
  }
}

// Small files that claim many pixels, under the limits of production.
TEST(Mutate, BombsCostNoMoreThanTheirBytesCanHold) {
  const int64_t rounds = Setting("SEER_FUZZ_ROUNDS", kDefaultRounds) / 10;
  const int64_t before = PeakBytes();
  for (const auto& [name, file] : SmallImageFiles()) {
    // A WebP of one colour and an arithmetic-coded JPEG may be of any size.
    if (name.find("webp") != std::string::npos || name == "arithmetic jpeg") continue;
    for (int64_t round = 0; round < rounds / 16; ++round) {
      Philox random(kSeed, RandomPurpose::kTest, StableHash(name), static_cast<uint32_t>(round));
      std::string bytes = ClaimManyPixels(file, random);
      SCOPED_TRACE(absl::StrCat(name, ", round ", round));
      MemoryMeter::Begin();
      ExpectSafe(bytes, false);
      if (HasFatalFailure()) return;
      ASSERT_LE(MemoryMeter::Most(), int64_t{160} << 20);
    }
  }
#ifndef __SANITIZE_ADDRESS__
  EXPECT_LT(PeakBytes() - before, int64_t{160} << 20);
#else
  (void)before;
#endif
}

TEST(SplitImage, ThePartsAreTheFile) {
  for (const auto& [name, file] : SmallImageFiles()) {
    const std::vector<std::string> parts = SplitImage(file);
    std::string joined;
    for (const std::string& part : parts) joined += part;
    EXPECT_EQ(joined, file) << name;
    EXPECT_GT(parts.size(), 1U) << name;
  }
}

}  // namespace
}  // namespace seer::testing
