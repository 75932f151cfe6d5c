#include "common/trace/sampler.h"

#include <gtest/gtest.h>

#include "common/base/error.h"
#include "common/base/philox.h"
#include "tests/support/status_matchers.h"

namespace seer {
namespace {

using testing::FailsWith;

constexpr TraceContext kRoot;  // no parent
constexpr TraceContext kSampled{1, 2, 3, true}, kUnsampled{1, 2, 3, false};

Sampler Parsed(const char* name, const char* argument = "") {
  return ParseSampler(name, argument).value();
}

// Of 10,000 traces.
int Recorded(const Sampler& sampler, const TraceContext& parent) {
  int recorded = 0;
  for (int i = 0; i < 10'000; ++i) {
    const std::string name = std::to_string(i);
    recorded += sampler.Records(
        {StableHash(name), StableHash("low" + name) * 0x9e3779b97f4a7c15u, 0}, parent);
  }
  return recorded;
}

TEST(SamplerTest, EachNameDoesWhatItSays) {
  EXPECT_EQ(Recorded(Parsed(""), kRoot), 10'000);
  EXPECT_EQ(Recorded(Parsed(""), kUnsampled), 0);
  EXPECT_EQ(Recorded(Parsed("always_on"), kUnsampled), 10'000);
  EXPECT_EQ(Recorded(Parsed("always_off"), kSampled), 0);
  EXPECT_EQ(Recorded(Parsed("parentbased_always_on"), kRoot), 10'000);
  EXPECT_EQ(Recorded(Parsed("parentbased_always_off"), kRoot), 0);
  EXPECT_EQ(Recorded(Parsed("parentbased_always_off"), kSampled), 10'000);
  EXPECT_EQ(Recorded(Parsed("parentbased_traceidratio", "0"), kRoot), 0);
  EXPECT_EQ(Recorded(Parsed("parentbased_traceidratio", "0"), kSampled), 10'000);
  EXPECT_EQ(Recorded(Parsed("traceidratio"), kUnsampled), 10'000);
}

TEST(SamplerTest, ARatioIsAShareOfTracesAndTheSameForEachSpanOfOne) {
  EXPECT_NEAR(Recorded(Parsed("parentbased_traceidratio", "0.25"), kRoot), 2500, 250);
  EXPECT_NEAR(Recorded(Parsed("traceidratio", "0.25"), kSampled), 2500, 250);
  const Sampler few = Parsed("traceidratio", "0.1"), more = Parsed("traceidratio", "0.5");
  for (uint64_t i = 0; i < 1000; ++i) {
    const TraceContext trace{i, i * 0x9e3779b97f4a7c15u, i, false};
    TraceContext later = trace;
    later.span = i + 7;
    EXPECT_EQ(few.Records(trace, kRoot), few.Records(later, kSampled));
    EXPECT_TRUE(!few.Records(trace, kRoot) || more.Records(trace, kRoot));
  }
}

TEST(SamplerTest, NonsenseIsRefusedAtItsVariable) {
  const absl::Status name = ParseSampler("xray", "").status();
  EXPECT_THAT(name,
              FailsWith(absl::StatusCode::kInvalidArgument, reason::kInvalidArgument, "xray"));
  EXPECT_EQ(GetErrorDetail(name)->field, "OTEL_TRACES_SAMPLER");
  EXPECT_THAT(GetErrorDetail(name)->hint, ::testing::HasSubstr("parentbased_traceidratio"));
  for (const char* argument : {"half", "-0.1", "1.01", "nan", "10%"}) {
    const absl::Status ratio = ParseSampler("traceidratio", argument).status();
    ASSERT_FALSE(ratio.ok()) << argument;
    EXPECT_EQ(GetErrorDetail(ratio)->field, "OTEL_TRACES_SAMPLER_ARG");
  }
  EXPECT_OK(ParseSampler("always_on", "half"));  // nobody looks at it
}

}  // namespace
}  // namespace seer
