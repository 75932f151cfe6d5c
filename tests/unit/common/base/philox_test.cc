#include "common/base/philox.h"

#include <gtest/gtest.h>

#include <vector>

namespace seer {
namespace {

// Known answers of the reference implementation (Random123, philox4x32 10 rounds).
TEST(PhiloxTest, AgreesWithTheReferenceVectors) {
  EXPECT_EQ(PhiloxBlock({0, 0, 0, 0}, {0, 0}),
            (std::array<uint32_t, 4>{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(PhiloxBlock({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff}),
            (std::array<uint32_t, 4>{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(PhiloxBlock({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (std::array<uint32_t, 4>{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(PhiloxTest, SameMeaningSameNumbersOtherMeaningOthers) {
  Philox a(7, RandomPurpose::kTest, 12, 3), b(7, RandomPurpose::kTest, 12, 3),
      c(7, RandomPurpose::kTest, 12, 4), d(7, RandomPurpose::kFlip, 12, 3);
  for (int i = 0; i < 10; ++i) {
    const uint32_t x = a.Next32();
    EXPECT_EQ(x, b.Next32());
    EXPECT_NE(x, c.Next32());
    EXPECT_NE(x, d.Next32());
  }
}

TEST(PhiloxTest, BelowIsUniform) {
  Philox random(1, RandomPurpose::kTest, 0);
  std::vector<int> counts(7);
  constexpr int kDraws = 70000;
  for (int i = 0; i < kDraws; ++i) ++counts[random.Below(7)];
  double chi2 = 0;
  for (const int count : counts)
    chi2 += (count - kDraws / 7.0) * (count - kDraws / 7.0) / (kDraws / 7.0);
  EXPECT_LT(chi2, 22.5);  // 6 degrees of freedom, p = 0.001
}

TEST(PhiloxTest, NormalHasUnitVariance) {
  Philox random(2, RandomPurpose::kTest, 0);
  double sum = 0, squares = 0;
  constexpr int kDraws = 100000;
  for (int i = 0; i < kDraws; ++i) {
    const double x = random.Normal();
    sum += x;
    squares += x * x;
  }
  EXPECT_NEAR(sum / kDraws, 0, 0.015);
  EXPECT_NEAR(squares / kDraws, 1, 0.02);
}

}  // namespace
}  // namespace seer
