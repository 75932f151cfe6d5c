// What a rank records for a profile, and how it gets to the coordinator.
#include "worker/trainer/profiler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "absl/synchronization/mutex.h"
#include "common/base/error.h"

namespace seer::worker {
namespace {

using engine::TraceRecorder;
using engine::TraceTrack;
using internal::v1::ReportProfileRequest;

// Gives the answers in their order, the last one for ever.
class FakeCoordinator {
 public:
  explicit FakeCoordinator(std::vector<absl::Status> answers) : answers_(std::move(answers)) {}
  Profiler::Send Send() {
    return [this](const ReportProfileRequest& report) {
      absl::MutexLock lock(&mu_);
      reports_.push_back(report);
      const size_t at = std::min(reports_.size(), answers_.size()) - 1;
      return answers_[at];
    };
  }
  std::vector<ReportProfileRequest> WaitForReports(size_t count) {
    absl::MutexLock lock(&mu_);
    const auto enough = [&] {
      mu_.AssertReaderHeld();
      return reports_.size() >= count;
    };
    EXPECT_TRUE(mu_.AwaitWithTimeout(absl::Condition(&enough), absl::Seconds(20)));
    return reports_;
  }

 private:
  const std::vector<absl::Status> answers_;
  absl::Mutex mu_;
  std::vector<ReportProfileRequest> reports_ ABSL_GUARDED_BY(mu_);
};

ReportProfileRequest Rank3() {
  ReportProfileRequest who;
  who.set_attempt_id(7);
  who.set_job("jobs/job_a");
  who.set_rank(3);
  return who;
}

engine::StepReport Step(int64_t step, engine::TraceRequest trace = {}) {
  engine::StepReport report;
  report.step = step;
  report.trace = trace;
  return report;
}

void Span(TraceRecorder& recorder, int64_t step) {
  recorder.SetStep(step);
  const engine::TraceScope span(&recorder, TraceTrack::kCommunication, "all-reduce",
                                "communication", {.bytes = 64, .group = "world"});
}

TEST(Profiler, SendsTheStepsThatWereAskedForAndNoOthers) {
  FakeCoordinator coordinator({absl::OkStatus()});
  TraceRecorder recorder;
  Profiler profiler(recorder, Rank3(), coordinator.Send());
  EXPECT_EQ(profiler.profile(), 0);
  Span(recorder, 9);
  profiler.StepDone(Step(9, {.number = 41, .steps = 2}));
  EXPECT_EQ(profiler.profile(), 41);
  EXPECT_EQ(profiler.first_step(), 10);
  for (int64_t step : {10, 11, 12}) {
    EXPECT_EQ(recorder.on(), step < 12);
    Span(recorder, step);
    profiler.StepDone(Step(step));
  }
  const ReportProfileRequest report = coordinator.WaitForReports(1).front();
  EXPECT_EQ(report.attempt_id(), 7);
  EXPECT_EQ(report.job(), "jobs/job_a");
  EXPECT_EQ(report.rank(), 3);
  EXPECT_EQ(report.profile(), 41);
  EXPECT_EQ(report.first_step(), 10);
  v1::RankTrace trace;
  ASSERT_TRUE(trace.ParseFromString(report.trace()));
  EXPECT_THAT(trace.texts(), ::testing::ElementsAre("all-reduce", "communication", "world"));
  ASSERT_EQ(trace.spans_size(), 2);
  EXPECT_EQ(trace.spans(0).step(), 10);
  EXPECT_EQ(trace.spans(1).step(), 11);
  EXPECT_EQ(trace.spans(0).track(), v1::TRACE_TRACK_COMMUNICATION);
  EXPECT_EQ(trace.spans(0).name(), 1);
  EXPECT_EQ(trace.spans(0).category(), 2);
  EXPECT_EQ(trace.spans(0).group(), 3);
  EXPECT_EQ(trace.spans(0).bytes(), 64);
  EXPECT_LE(trace.spans(0).start_ns() + trace.spans(0).duration_ns(), trace.spans(1).start_ns());
  EXPECT_GT(trace.begin_time().seconds(), 1'000'000'000);
}

TEST(Profiler, SendsAgainWhileTheCoordinatorIsAwayAndGivesUpAtARefusal) {
  const absl::Status away = absl::UnavailableError("away");
  const absl::Status refused = Error(absl::StatusCode::kNotFound, reason::kProfileNotFound, "late");
  FakeCoordinator coordinator({away, away, refused, absl::OkStatus()});
  TraceRecorder recorder;
  Profiler profiler(recorder, Rank3(), coordinator.Send(), absl::Milliseconds(1));
  profiler.StepDone(Step(1, {.number = 1, .steps = 1}));
  profiler.StepDone(Step(2, {.number = 2, .steps = 1}));  // ends one and begins the next
  auto reports = coordinator.WaitForReports(3);
  EXPECT_EQ(reports[2].profile(), 1);
  profiler.StepDone(Step(3));
  reports = coordinator.WaitForReports(4);
  EXPECT_EQ(reports[3].profile(), 2);
  EXPECT_EQ(reports[3].first_step(), 3);
}

TEST(Profiler, ItsEndSendsWhatIsUnsentAndIsNotHeldUpByACoordinatorThatIsAway) {
  FakeCoordinator coordinator({absl::UnavailableError("away")});
  TraceRecorder recorder;
  const absl::Time start = absl::Now();
  {
    Profiler profiler(recorder, Rank3(), coordinator.Send(), absl::Hours(1));
    profiler.StepDone(Step(1, {.number = 1, .steps = 1}));
    profiler.StepDone(Step(2));
  }
  EXPECT_GE(coordinator.WaitForReports(1).size(), 1u);
  EXPECT_LT(absl::Now() - start, absl::Seconds(20));
}

TEST(Profiler, ARunOfFiftyLargeStepsFitsAReport) {
  TraceRecorder recorder;
  recorder.Start(1'000'000);
  for (size_t i = 0; i < TraceRecorder::kMaxSpans + 5; ++i) {
    recorder.End(recorder.Begin(TraceTrack::kTraining, "backward trunk_output.block3.block3-11",
                                "backward",
                                {.resolution = 224, .bytes = 1 << 30, .group = "world"}));
  }
  const engine::Trace trace = recorder.Stop();
  EXPECT_EQ(trace.dropped, 5);
  EXPECT_LT(ToProto(trace).ByteSizeLong(), size_t{8} << 20);
}

}  // namespace
}  // namespace seer::worker
