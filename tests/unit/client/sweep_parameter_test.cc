#include "client/sweep_parameter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/status_matchers.h"

namespace seer::client {
namespace {

using ::testing::ElementsAre;
using testing::FailsWith;

TEST(SweepParameter, TakesValues) {
  EXPECT_THAT(ReadSweepParameter("optim.lr=0.1,0.3")->values(), ElementsAre("0.1", "0.3"));
  EXPECT_THAT(ReadSweepParameter("model.head.hidden=[1, 2],[3]")->values(),
              ElementsAre("[1, 2]", "[3]"));
  EXPECT_THAT(ReadSweepParameter("metadata.labels.a='x,y',z")->values(), ElementsAre("'x,y'", "z"));
  EXPECT_THAT(ReadSweepParameter("model.weights.uri=file:///a..b")->values(),
              ElementsAre("file:///a..b"));
  EXPECT_EQ(ReadSweepParameter("a=b=c")->field(), "a");
}

TEST(SweepParameter, TakesRanges) {
  const auto plain = ReadSweepParameter("optim.lr=0.1..0.5");
  ASSERT_OK(plain);
  EXPECT_EQ(plain->range().min(), 0.1);
  EXPECT_EQ(plain->range().max(), 0.5);
  EXPECT_FALSE(plain->range().logarithmic());
  const auto both = ReadSweepParameter("loss.swav.prototypes=10..3000:log:int");
  ASSERT_OK(both);
  EXPECT_TRUE(both->range().logarithmic());
  EXPECT_TRUE(both->range().whole());
  EXPECT_EQ(ReadSweepParameter("a=-1e-3..1")->range().min(), -1e-3);
}

TEST(SweepParameter, RefusesWhatIsNeither) {
  for (const char* text : {"optim.lr", "=0.1", "optim.lr=", "optim.lr=0.1..0.5:lin"}) {
    EXPECT_THAT(ReadSweepParameter(text),
                FailsWith(absl::StatusCode::kInvalidArgument, reason::kInvalidArgument, text))
        << text;
  }
}

}  // namespace
}  // namespace seer::client
