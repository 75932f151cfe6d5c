// What a recording holds: the recorder by itself, and the spans of whole steps on two ranks.
#include "engine/trace/trace_recorder.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <map>
#include <set>

#include "tests/unit/engine/small_run.h"

namespace seer::engine {
namespace {

using ::testing::Contains;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::Field;
using testing::OnRanks;
using testing::SmallBatch;
using testing::SmallConfig;

TEST(TraceRecorder, KeepsWhatBeginsAndEndsWhileItRuns) {
  FakeClock clock;
  TraceRecorder recorder(100, clock);
  EXPECT_FALSE(recorder.on());
  const int64_t before = recorder.Begin(TraceTrack::kTraining, "before", "x");
  recorder.Start(7);
  recorder.End(before);
  clock.Advance(absl::Microseconds(5));
  {
    const TraceScope outer(&recorder, TraceTrack::kTraining, "outer", "a",
                           {.resolution = 32, .bytes = 9, .group = "world"});
    clock.Advance(absl::Microseconds(1));
    recorder.SetStep(8);
    const TraceScope inner(&recorder, TraceTrack::kCheckpoint, "inner", "b");
    clock.Advance(absl::Microseconds(2));
  }
  recorder.Begin(TraceTrack::kCommunication, "open", "c");
  clock.Advance(absl::Microseconds(4));
  const Trace trace = recorder.Stop();
  EXPECT_FALSE(recorder.on());
  EXPECT_EQ(trace.begin + absl::Microseconds(12), clock.Now());
  ASSERT_EQ(trace.spans.size(), 3u);
  const TraceSpan &outer = trace.spans[0], &inner = trace.spans[1], &open = trace.spans[2];
  EXPECT_EQ(outer.name, "outer");
  EXPECT_EQ(outer.category, "a");
  EXPECT_EQ(outer.group, "world");
  EXPECT_EQ(outer.resolution, 32);
  EXPECT_EQ(outer.bytes, 9);
  EXPECT_EQ(outer.step, 7);
  EXPECT_EQ(outer.start, absl::Microseconds(5));
  EXPECT_EQ(outer.duration, absl::Microseconds(3));
  EXPECT_FALSE(outer.unfinished);
  EXPECT_EQ(inner.track, TraceTrack::kCheckpoint);
  EXPECT_EQ(inner.step, 8);
  EXPECT_EQ(inner.duration, absl::Microseconds(2));
  EXPECT_TRUE(open.unfinished);
  EXPECT_EQ(open.duration, absl::Microseconds(4));
  EXPECT_TRUE(recorder.Stop().spans.empty());
}

TEST(TraceRecorder, ASpanOfAnEarlierRecordingChangesNothing) {
  FakeClock clock;
  TraceRecorder recorder(100, clock);
  recorder.Start(0);
  const int64_t old = recorder.Begin(TraceTrack::kTraining, "old", "x");
  recorder.Start(1);
  recorder.Begin(TraceTrack::kTraining, "new", "x");
  recorder.End(old);
  const Trace trace = recorder.Stop();
  ASSERT_EQ(trace.spans.size(), 1u);
  EXPECT_EQ(trace.spans[0].name, "new");
  EXPECT_TRUE(trace.spans[0].unfinished);
}

TEST(TraceRecorder, CountsWhatFindsNoRoom) {
  TraceRecorder recorder(2);
  recorder.Start(0);
  for (int i = 0; i < 5; ++i) const TraceScope span(&recorder, TraceTrack::kTraining, "span", "x");
  const Trace trace = recorder.Stop();
  EXPECT_EQ(trace.spans.size(), 2u);
  EXPECT_EQ(trace.dropped, 3);
}

absl::Duration End(const TraceSpan& span) { return span.start + span.duration; }

std::vector<TraceSpan> Where(const Trace& trace, TraceTrack track,
                             const std::string& category = "") {
  std::vector<TraceSpan> spans;
  std::copy_if(trace.spans.begin(), trace.spans.end(), std::back_inserter(spans),
               [&](const TraceSpan& span) {
                 return span.track == track && (category.empty() || span.category == category);
               });
  return spans;
}

// Segment (without the word before it) and resolution -> how often.
std::map<std::pair<std::string, int64_t>, int> Segments(const Trace& trace,
                                                        const std::string& category) {
  std::map<std::pair<std::string, int64_t>, int> segments;
  for (const TraceSpan& span : Where(trace, TraceTrack::kTraining, category)) {
    EXPECT_EQ(span.name.substr(0, category.size() + 1), category + " ");
    ++segments[{span.name.substr(category.size() + 1), span.resolution}];
  }
  return segments;
}

struct Recorded {
  std::vector<Trace> ranks;
  std::vector<TraceRequest> requests;  // of each step's report, of the last rank
};

// Steps 0 to 4; step 1 is the first to know of the request, and 2 and 3 are recorded.
Recorded Record(const TrainConfig& config, int world_size) {
  Recorded recorded;
  recorded.ranks.resize(static_cast<size_t>(world_size));
  OnRanks(world_size, [&](const RankConfig& rank) {
    ASSERT_OK_AND_ASSIGN(const auto session, TrainSession::Create(config, rank));
    for (int64_t step = 0; step < 5; ++step) {
      if (step == 1 && rank.rank == 0) {
        session->RequestTrace({5, 2});
        session->RequestTrace({4, 9});  // an older one
      }
      ASSERT_OK_AND_ASSIGN(const StepReport report,
                           session->Step(SmallBatch(config, step, rank.rank, world_size)));
      if (rank.rank == world_size - 1) recorded.requests.push_back(report.trace);
      if (report.trace.number != 0) session->trace().Start(step + 1);
      if (step == 3) recorded.ranks[static_cast<size_t>(rank.rank)] = session->trace().Stop();
    }
  });
  return recorded;
}

TEST(Trace, AllRanksLearnOfARequestInTheSameStep) {
  for (const TraceRequest& request :
       {Record(SmallConfig(), 1).requests[1], Record(SmallConfig(), 2).requests[1]}) {
    EXPECT_EQ(request.number, 5);
    EXPECT_EQ(request.steps, 2);
  }
  std::vector<TraceRequest> others = Record(SmallConfig(), 2).requests;
  ASSERT_EQ(others.size(), 5u);
  others.erase(others.begin() + 1);
  EXPECT_THAT(others, Each(Field(&TraceRequest::number, 0)));
}

TEST(Trace, CoversEverySegmentOfEveryResolutionAndNests) {
  const Recorded recorded = Record(SmallConfig(), 2);
  for (const Trace& trace : recorded.ranks) {
    EXPECT_EQ(trace.dropped, 0);
    std::set<int64_t> steps;
    std::vector<const TraceSpan*> open;
    for (const TraceSpan& span : Where(trace, TraceTrack::kTraining)) {
      EXPECT_FALSE(span.unfinished) << span.name;
      steps.insert(span.step);
    }
    EXPECT_THAT(steps, ElementsAre(2, 3));
    const std::vector<TraceSpan> training = Where(trace, TraceTrack::kTraining);
    for (const TraceSpan& span : training) {  // ordered by start
      while (!open.empty() && End(*open.back()) <= span.start) open.pop_back();
      if (!open.empty()) {
        EXPECT_LE(End(span), End(*open.back())) << span.name << " in " << open.back()->name;
      }
      open.push_back(&span);
    }
    const auto forward = Segments(trace, "forward"), backward = Segments(trace, "backward");
    EXPECT_EQ(forward, backward);
    EXPECT_EQ(forward.size() % 2, 0u);
    EXPECT_THAT(forward, Each(::testing::Pair(::testing::_, 2)));
    EXPECT_TRUE(forward.contains({"trunk_output.block1.block1-0", 32}));
    EXPECT_TRUE(forward.contains({"trunk_output.block1.block1-0", 16}));
    EXPECT_TRUE(Segments(trace, "recompute").empty());
    std::set<std::string> names;
    for (const TraceSpan& span : training) names.insert(span.name);
    for (const char* name : {"step", "copy", "augment", "forward", "loss", "sinkhorn", "backward",
                             "optimizer", "all-reduce"})
      EXPECT_THAT(names, Contains(name));
  }
}

TEST(Trace, CollectivesHaveTheirBytesAndGroupAndOverlapTheBackwardPass) {
  const Recorded recorded = Record(SmallConfig(), 2);
  for (const Trace& trace : recorded.ranks) {
    const auto collectives = Where(trace, TraceTrack::kCommunication);
    const auto backward = Where(trace, TraceTrack::kTraining, "backward");
    ASSERT_FALSE(collectives.empty());
    int reductions = 0, overlapping = 0;
    for (const TraceSpan& span : collectives) {
      EXPECT_FALSE(span.unfinished) << span.name;
      EXPECT_GT(span.bytes, 0) << span.name;
      EXPECT_FALSE(span.group.empty()) << span.name;
      if (span.name != "all-reduce" || span.bytes < 16 << 10) continue;  // a bucket
      ++reductions;
      overlapping += std::any_of(backward.begin(), backward.end(), [&](const TraceSpan& segment) {
        return segment.start < End(span) && span.start < End(segment);
      });
    }
    EXPECT_GE(reductions, 4);
    EXPECT_GT(overlapping, 0);
  }
  EXPECT_TRUE(Where(Record(SmallConfig(), 1).ranks[0], TraceTrack::kCommunication).empty());
}

TEST(Trace, ShowsWhatIsRecomputed) {
  TrainConfig config = SmallConfig();
  config.memory.recompute = MemoryConfig::Recompute::kAll;
  const Trace trace = Record(config, 1).ranks[0];
  EXPECT_EQ(Segments(trace, "recompute"), Segments(trace, "backward"));
}

TEST(Trace, RecordsNothingWhileItIsOff) {
  const TrainConfig config = SmallConfig();
  OnRanks(2, [&](const RankConfig& rank) {
    ASSERT_OK_AND_ASSIGN(const auto session, TrainSession::Create(config, rank));
    ASSERT_OK(session->Step(SmallBatch(config, 0, rank.rank, 2)));
    EXPECT_FALSE(session->trace().on());
    session->trace().Start(1);
    EXPECT_TRUE(session->trace().Stop().spans.empty());
    ASSERT_OK(session->Step(SmallBatch(config, 1, rank.rank, 2)));
    EXPECT_TRUE(session->trace().Stop().spans.empty());
  });
}

}  // namespace
}  // namespace seer::engine
