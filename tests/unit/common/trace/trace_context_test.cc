#include "common/trace/trace_context.h"

#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"

namespace seer {
namespace {

// The example of the specification.
constexpr char kTrace[] = "4bf92f3577b34da6a3ce929d0e0e4736";
constexpr char kSpan[] = "00f067aa0ba902b7";
const std::string kHeader = absl::StrCat("00-", kTrace, "-", kSpan, "-01");

TEST(TraceContextTest, ReadsTheSpecificationsExample) {
  const auto context = ParseTraceparent(kHeader);
  ASSERT_TRUE(context.has_value());
  EXPECT_EQ(context->trace_high, 0x4bf92f3577b34da6u);
  EXPECT_EQ(context->trace_low, 0xa3ce929d0e0e4736u);
  EXPECT_EQ(context->span, 0x00f067aa0ba902b7u);
  EXPECT_TRUE(context->sampled);
  EXPECT_EQ(FormatTraceparent(*context), kHeader);
}

TEST(TraceContextTest, OnlyTheSampledFlagIsLookedAt) {
  const auto flags = [](const std::string& digits) {
    return ParseTraceparent(absl::StrCat("00-", kTrace, "-", kSpan, "-", digits));
  };
  EXPECT_FALSE(flags("00")->sampled);
  EXPECT_FALSE(flags("fe")->sampled);
  EXPECT_TRUE(flags("ff")->sampled);
  EXPECT_EQ(FormatTraceparent(*flags("00")), absl::StrCat("00-", kTrace, "-", kSpan, "-00"));
}

TEST(TraceContextTest, ALaterVersionMayHaveMoreBehindADash) {
  const std::string rest = absl::StrCat("-", kTrace, "-", kSpan, "-01");
  EXPECT_TRUE(ParseTraceparent("01" + rest));
  EXPECT_TRUE(ParseTraceparent("cc" + rest + "-what-the-future-will-be-like"));
  EXPECT_FALSE(ParseTraceparent("cc" + rest + ".what-the-future-will-not-be-like"));
  EXPECT_FALSE(ParseTraceparent("00" + rest + "-what-this-version-has-not"));
}

TEST(TraceContextTest, WhatIsNoHeaderIsRefused) {
  const std::string zeros(32, '0');
  for (const std::string& text : {
           std::string(),
           std::string("00"),
           kHeader.substr(0, kHeader.size() - 1),                      // too short
           kHeader + "0",                                              // too long
           absl::StrCat("ff-", kTrace, "-", kSpan, "-01"),             // the version that never is
           absl::StrCat(".0-", kTrace, "-", kSpan, "-01"),             // no hex
           absl::StrCat("0-", kTrace, "-", kSpan, "-001"),             // a short version
           absl::StrCat("00-", zeros, "-", kSpan, "-01"),              // no trace
           absl::StrCat("00-", kTrace, "-", zeros.substr(16), "-01"),  // no span
           absl::StrCat("00-4BF92f3577b34da6a3ce929d0e0e4736-", kSpan, "-01"),  // upper case
           absl::StrCat("00-", kTrace, "-00F067aa0ba902b7-01"),
           absl::StrCat("00-", kTrace, "-", kSpan, "-0X"),
           absl::StrCat("00-", kTrace, "-", kSpan, "-.1"),
           absl::StrCat("00_", kTrace, "-", kSpan, "-01"),  // no dashes
           absl::StrCat("00-", kTrace, "_", kSpan, "-01"),
           absl::StrCat("00-", kTrace, "-", kSpan, "_01"),
           absl::StrCat("00-.bf92f3577b34da6a3ce929d0e0e4736-", kSpan, "-01"),
           absl::StrCat(" ", kHeader.substr(0, kHeader.size() - 1)),
           std::string(55, '-'),
           std::string(55, '\0'),
       }) {
    EXPECT_FALSE(ParseTraceparent(text)) << text;
    EXPECT_FALSE(TraceContextOf(text).valid()) << text;
  }
}

TEST(TraceContextTest, WhatIsNotValidHasNoHeader) {
  EXPECT_EQ(FormatTraceparent({}), "");
  EXPECT_EQ(FormatTraceparent({1, 2, 0, true}), "");
  EXPECT_EQ(FormatTraceparent({0, 2, 3, true}),
            "00-00000000000000000000000000000002-0000000000000003-01");
}

}  // namespace
}  // namespace seer
