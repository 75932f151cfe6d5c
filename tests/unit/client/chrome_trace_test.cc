// The JSON of a profile, as chrome://tracing and Perfetto read it.
#include "client/chrome_trace.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>

namespace seer::client {
namespace {

using Json = nlohmann::json;

v1::TraceSpan& AddSpan(v1::RankTrace& rank, v1::TraceTrack track, int name, int64_t start_ns,
                       int64_t duration_ns) {
  v1::TraceSpan& span = *rank.add_spans();
  span.set_track(track);
  span.set_name(name);
  span.set_category(3);
  span.set_start_ns(start_ns);
  span.set_duration_ns(duration_ns);
  span.set_step(8);
  return span;
}

v1::RankTrace Rank(int rank, int64_t begin_ns) {
  v1::RankTrace trace;
  trace.set_rank(rank);
  trace.set_worker("workers/w1");
  trace.mutable_begin_time()->set_seconds(1'700'000'000);
  trace.mutable_begin_time()->set_nanos(static_cast<int32_t>(begin_ns));
  for (const char* text : {"forward \"stem\"", "all-reduce", "category", "world"})
    trace.add_texts(text);
  return trace;
}

std::vector<Json> Named(const Json& trace, const std::string& phase, const std::string& name) {
  std::vector<Json> events;
  for (const Json& event : trace["traceEvents"])
    if (event["ph"] == phase && event["name"] == name) events.push_back(event);
  return events;
}

TEST(ChromeTrace, LaysRanksSideBySideByTheirClocks) {
  v1::RankTrace first = Rank(0, 2500), second = Rank(1, 500);
  AddSpan(first, v1::TRACE_TRACK_TRAINING, 1, 1000, 4000).set_resolution(32);
  AddSpan(second, v1::TRACE_TRACK_TRAINING, 1, 1000, 5001);
  v1::Profile profile;
  profile.set_name("jobs/job_a/profiles/7");
  profile.set_first_step(8);
  profile.set_steps(1);
  const Json trace = Json::parse(ChromeTrace(profile, {first, second}));
  EXPECT_EQ(trace["otherData"]["profile"], "jobs/job_a/profiles/7");
  EXPECT_EQ(trace["otherData"]["first_step"], 8);
  const auto spans = Named(trace, "X", "forward \"stem\"");
  ASSERT_EQ(spans.size(), 2u);
  EXPECT_EQ(spans[0]["pid"], 0);
  EXPECT_EQ(spans[1]["pid"], 1);
  EXPECT_EQ(spans[0]["tid"], spans[1]["tid"]);
  EXPECT_EQ(spans[0]["cat"], "category");
  EXPECT_DOUBLE_EQ(spans[0]["ts"].get<double>(), 3.0);  // it began 2 us later
  EXPECT_DOUBLE_EQ(spans[1]["ts"].get<double>(), 1.0);
  EXPECT_DOUBLE_EQ(spans[1]["dur"].get<double>(), 5.001);
  EXPECT_EQ(spans[0]["args"], Json({{"step", 8}, {"resolution", 32}}));
  const auto processes = Named(trace, "M", "process_name");
  ASSERT_EQ(processes.size(), 2u);
  EXPECT_EQ(processes[1]["args"]["name"], "rank 1 on w1");
}

TEST(ChromeTrace, CollectivesThatOverlapGetLinesOfTheirOwn) {
  v1::RankTrace rank = Rank(0, 0);
  for (const auto& [start, duration] :
       std::vector<std::pair<int, int>>{{0, 100}, {50, 100}, {100, 10}, {120, 1000}, {130, 5}}) {
    v1::TraceSpan& span = AddSpan(rank, v1::TRACE_TRACK_COMMUNICATION, 2, start, duration);
    span.set_bytes(64);
    span.set_group(4);
  }
  AddSpan(rank, v1::TRACE_TRACK_CHECKPOINT, 1, 0, 10).set_unfinished(true);
  const Json trace = Json::parse(ChromeTrace({}, {rank}));
  std::map<int, double> ends;
  for (const Json& event : Named(trace, "X", "all-reduce")) {
    EXPECT_GE(event["ts"].get<double>(), ends[event["tid"]]);
    ends[event["tid"]] = event["ts"].get<double>() + event["dur"].get<double>();
    EXPECT_EQ(event["args"]["bytes"], 64);
    EXPECT_EQ(event["args"]["group"], "world");
  }
  EXPECT_EQ(ends.size(), 3u);
  std::map<int, std::string> names;
  for (const Json& event : Named(trace, "M", "thread_name"))
    names[event["tid"]] = event["args"]["name"];
  for (const auto& [thread, end] : ends)
    EXPECT_THAT(names[thread], ::testing::StartsWith("communication"));
  EXPECT_EQ(Named(trace, "X", "forward \"stem\"")[0]["args"]["unfinished"], true);
}

TEST(ChromeTrace, IsJsonWithoutRanksAndWithTextsThatAreNone) {
  EXPECT_TRUE(Json::parse(ChromeTrace({}, {}))["traceEvents"].empty());
  v1::RankTrace rank = Rank(0, 0);
  AddSpan(rank, v1::TRACE_TRACK_TRAINING, 77, 0, 1);
  EXPECT_EQ(Named(Json::parse(ChromeTrace({}, {rank})), "X", "").size(), 1u);
}

}  // namespace
}  // namespace seer::client
