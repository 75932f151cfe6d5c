#include "common/base/duration.h"

#include <gtest/gtest.h>

#include "common/base/error.h"

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

TEST(ReadDurationFlag, NamesTheFlagAndWhatIsExpected) {
  EXPECT_EQ(*ReadDurationFlag("--expires", "90d", kAboveZero), absl::Hours(24 * 90));
  EXPECT_EQ(*ReadDurationFlag("--timeout", "0"), absl::ZeroDuration());
  const auto wrong = [](const char* text, DurationRange range) {
    const absl::Status status = ReadDurationFlag("--time", text, range).status();
    EXPECT_EQ(GetErrorDetail(status)->field, "--time");
    EXPECT_EQ(GetErrorDetail(status)->hint,
              "write a number and its unit, such as 90s, 5m, 36h or 7d");
    return std::string(status.message());
  };
  EXPECT_EQ(wrong("5x", {}), "--time: '5x' is not a duration");
  EXPECT_EQ(wrong("", {}), "--time: '' is not a duration");
  EXPECT_EQ(wrong("-1s", {}), "--time: '-1s' is shorter than 0");
  EXPECT_EQ(wrong("0s", kAboveZero), "--time: '0s' is not above zero");
  EXPECT_EQ(wrong("2d", {.most = absl::Hours(24)}), "--time: '2d' is longer than 24h");
}

}  // namespace
}  // namespace seer
