#include "common/base/duration.h"

#include <gtest/gtest.h>

namespace seer {
namespace {

TEST(ParseDurationOrDays, TakesDaysBesideWhatAbseilTakes) {
  absl::Duration read;
  EXPECT_TRUE(ParseDurationOrDays("90d", &read));
  EXPECT_EQ(read, absl::Hours(90 * 24));
  EXPECT_TRUE(ParseDurationOrDays("1.5d", &read));
  EXPECT_EQ(read, absl::Hours(36));
  EXPECT_TRUE(ParseDurationOrDays("2h30m", &read));
  EXPECT_EQ(read, absl::Minutes(150));
  EXPECT_TRUE(ParseDurationOrDays("0", &read));
  EXPECT_EQ(read, absl::ZeroDuration());
  for (const char* text : {"", "d", ".d", "30", "-1d", "1h30d", "1d12h", "infd", "1e3d", " 1d"})
    EXPECT_FALSE(ParseDurationOrDays(text, &read)) << text;
}

}  // namespace
}  // namespace seer
