#include "coordinator/services/job_spans.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/span_list.h"

namespace seer::coordinator {
namespace {

using ::testing::Contains;
using testing::SpanList;

constexpr char kTraceparent[] = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const absl::Time kStart = absl::UnixEpoch() + absl::Hours(1000);

Job Waiting() {
  Job job;
  job.id = "job_a";
  job.name = "photos";
  job.traceparent = kTraceparent;
  job.created = kStart;
  return job;
}
// With its first attempt, of two ranks.
Job Running() {
  Job job = Waiting();
  job.state = JobState::kRunning;
  job.attempt.emplace();
  job.attempt->id = 7;
  job.attempt->number = 1;
  job.attempt->started = kStart + absl::Seconds(5);
  job.attempt->ranks.resize(2);
  return job;
}
Event Of(const std::string& type, absl::Duration after, int attempt = 0) {
  Event event;
  event.type = type;
  event.job = "job_a";
  event.created = kStart + after;
  event.attempt = attempt;
  return event;
}

TEST(JobSpansTest, AQueuedJobAndItsAttemptsAreSpansOfWhatMadeIt) {
  SpanList list;
  JobSpans spans;
  spans.Happened(Of("job_created", absl::ZeroDuration()), Waiting());
  spans.Happened(Of("attempt_started", absl::Seconds(5), 1), Running());
  const std::string of_ranks = TraceparentOfRanks(Running());
  Event ended = Of("attempt_ended", absl::Seconds(65), 1);
  ended.reason = "OUT_OF_MEMORY";
  ended.failure = FailureClass::kOutOfMemory;
  ended.message = "no memory";
  Job over = Waiting();
  spans.Happened(ended, over);
  const std::vector<SpanRecord> all = list.Take();
  ASSERT_EQ(all.size(), 2u);
  const SpanRecord &queued = all[0], &attempt = all[1];
  const TraceContext made = TraceContextOf(kTraceparent);
  EXPECT_EQ(queued.name, "job queued");
  EXPECT_EQ(queued.parent_span, made.span);
  EXPECT_EQ(queued.start, kStart);
  EXPECT_EQ(queued.end, kStart + absl::Seconds(5));
  EXPECT_EQ(attempt.name, "attempt");
  EXPECT_EQ(attempt.parent_span, made.span);
  EXPECT_EQ(FormatTraceparent(attempt.context), of_ranks);
  EXPECT_EQ(attempt.start, kStart + absl::Seconds(5));
  EXPECT_EQ(attempt.end, kStart + absl::Seconds(65));
  EXPECT_TRUE(attempt.failed);
  EXPECT_EQ(attempt.message, "no memory");
  EXPECT_THAT(attempt.attributes, Contains(SpanAttribute{"seer.ranks", 2}));
  EXPECT_THAT(attempt.attributes, Contains(SpanAttribute{"seer.job", "jobs/job_a"}));
  EXPECT_THAT(attempt.attributes, Contains(SpanAttribute{"seer.reason", "OUT_OF_MEMORY"}));
}

TEST(JobSpansTest, ACoordinatorThatStartsAgainEndsTheSpanThatItsRanksBelongTo) {
  SpanList list;
  const std::string before = TraceparentOfRanks(Running());
  JobSpans after_a_restart;
  after_a_restart.Changed(Running());
  after_a_restart.Changed(Running());
  after_a_restart.Happened(Of("attempt_ended", absl::Seconds(65), 1), Waiting());
  const std::vector<SpanRecord> all = list.Take();
  ASSERT_EQ(all.size(), 1u);
  EXPECT_EQ(FormatTraceparent(all[0].context), before);
  EXPECT_EQ(all[0].start, kStart + absl::Seconds(5));
  EXPECT_FALSE(all[0].failed);
}

TEST(JobSpansTest, WithoutATraceOrATracerThereIsNone) {
  JobSpans spans;
  EXPECT_EQ(TraceparentOfRanks(Running()), kTraceparent) << "handed on";
  SpanList list;
  Job unsampled = Running(), none = Running();
  unsampled.traceparent.back() = '0';
  none.traceparent = "";
  EXPECT_EQ(TraceparentOfRanks(unsampled), unsampled.traceparent);
  EXPECT_EQ(TraceparentOfRanks(none), "");
  for (const Job& job : {unsampled, none}) {
    spans.Happened(Of("job_created", absl::ZeroDuration()), job);
    spans.Happened(Of("attempt_started", absl::Seconds(5), 1), job);
    spans.Happened(Of("attempt_ended", absl::Seconds(65), 1), job);
  }
  EXPECT_TRUE(list.Take().empty());
}

}  // namespace
}  // namespace seer::coordinator
