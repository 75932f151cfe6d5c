#include "common/base/rate_meter.h"

#include <gtest/gtest.h>

namespace seer {
namespace {

TEST(RateMeter, CountsTheLastHalfMinute) {
  RateMeter meter;
  EXPECT_EQ(meter.PerSecond(), 0);
  meter.Add(absl::Seconds(100), 0);
  EXPECT_EQ(meter.PerSecond(), 0) << "one point has no rate";
  meter.Add(absl::Seconds(100), 5);
  EXPECT_EQ(meter.PerSecond(), 0) << "nor have two at once";
  meter.Add(absl::Seconds(101), 9'000);  // what was there already comes at once
  for (int i = 1; i <= 60; ++i) meter.Add(absl::Seconds(101 + i), 9'000 + 10 * i);
  EXPECT_DOUBLE_EQ(meter.PerSecond(), 10);
}

}  // namespace
}  // namespace seer
