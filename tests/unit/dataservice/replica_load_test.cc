#include "dataservice/serve/replica_load.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>

namespace seer::dataservice {
namespace {

using ::testing::DoubleNear;

class FakeGauge final : public Gauge {
 public:
  void Set(double value, const MetricLabels&) override { value_ = value; }
  std::unique_ptr<GaugeSeries> Series(const MetricLabels&) override { return nullptr; }
  void Remove(const MetricLabels&) override {}
  double value() const { return value_; }

 private:
  double value_ = -1;
};

class ReplicaLoadTest : public ::testing::Test {
 protected:
  v1::ReplicaLoad Get(const std::string& job = "", int rank = 0, double stall = -1) {
    v1::GetReplicaLoadRequest request;
    request.set_job(job);
    request.set_rank(rank);
    if (stall >= 0) request.set_stall_ratio(stall);
    return meter_.Get(request);
  }
  // The stream uses `threads` threads for so long.
  void Work(ReplicaLoadMeter::Stream& stream, double threads, int seconds) {
    for (int i = 0; i < 10 * seconds; ++i) {
      clock_.Advance(absl::Milliseconds(100));
      stream.Worked(absl::Milliseconds(100) * threads);
    }
  }
  FakeClock clock_;
  FakeGauge wanted_;
  ReplicaLoadMeter meter_{4, clock_, wanted_};
};

TEST_F(ReplicaLoadTest, IsTheShareOfAllThreads) {
  EXPECT_EQ(Get().wanted(), 0);
  const auto a = meter_.Open("jobs/a", 0), b = meter_.Open("jobs/a", 1);
  for (int i = 0; i < 60; ++i) {
    Work(*a, 1, 1);
    b->Worked(absl::Seconds(2));
  }
  const v1::ReplicaLoad load = Get("jobs/a", 1);
  EXPECT_THAT(load.wanted(), DoubleNear(0.75, 0.03));
  EXPECT_THAT(load.stream_wanted(), DoubleNear(0.5, 0.03));
  EXPECT_EQ(load.streams(), 2);
  EXPECT_EQ(Get("jobs/b", 1).stream_wanted(), 0);
  EXPECT_THAT(wanted_.value(), DoubleNear(0.75 / 0.8, 0.04)) << "one that is not full to the brim";
}

TEST_F(ReplicaLoadTest, CountsWhatAReaderWouldTakeIfItDidNotWait) {
  const auto stream = meter_.Open("jobs/a", 0);
  Work(*stream, 4, 60);
  EXPECT_THAT(Get("jobs/a", 0, 0.75).wanted(), DoubleNear(4, 0.1));
  EXPECT_THAT(wanted_.value(), DoubleNear(5, 0.1));
  EXPECT_THAT(Get("jobs/a", 1, 0.0).wanted(), DoubleNear(4, 0.1)) << "another reader's";
  EXPECT_THAT(Get("jobs/a", 0, 1.0).wanted(), DoubleNear(10, 0.2)) << "bounded";
  Work(*stream, 4, 61);  // it reported long ago
  EXPECT_THAT(Get("jobs/a", 0).wanted(), DoubleNear(1, 0.03));
}

TEST_F(ReplicaLoadTest, FollowsChangesWithinAMinuteAndForgetsClosedStreams) {
  auto stream = meter_.Open("jobs/a", 0);
  Work(*stream, 2, 5);
  EXPECT_THAT(Get().wanted(), DoubleNear(0.5, 0.03)) << "from its life so far";
  clock_.Advance(absl::Minutes(1));
  EXPECT_LT(Get().wanted(), 0.02);
  Work(*stream, 4, 60);
  EXPECT_GT(Get().wanted(), 0.95);
  stream.reset();
  EXPECT_EQ(Get().wanted(), 0);
  EXPECT_EQ(Get().streams(), 0);
  EXPECT_EQ(wanted_.value(), 0);
}

}  // namespace
}  // namespace seer::dataservice
