// The trace that a job belongs to, from the call that made it to its ranks' assignments.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "common/base/trainer_exit.h"
#include "tests/integration/coordinator/cluster.h"
#include "tests/support/span_list.h"
#include "tests/support/status_matchers.h"

namespace seer::testing {
namespace {

constexpr char kTraceparentOfClient[] = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

class TracingTest : public ::testing::Test {
 protected:
  void Create(const std::string& name, const std::string& traceparent) {
    grpc::ClientContext context;
    if (!traceparent.empty()) context.AddMetadata(kTraceparent, traceparent);
    v1::CreateJobRequest request;
    *request.mutable_spec() = SmallSpec(name, 1);
    v1::Job job;
    ASSERT_TRUE(cluster_.jobs->CreateJob(&context, request, &job).ok());
  }
  Cluster cluster_;
};

TEST_F(TracingTest, RanksBelongToTheAttemptsSpanAlsoAfterTheCoordinatorStartedAgain) {
  SpanList spans;
  Create("traced", kTraceparentOfClient);
  cluster_.Restart();
  FakeAgent agent(cluster_.port(), {});
  const internal::v1::Assign assign = agent.NextAssign();
  const TraceContext ranks = TraceContextOf(assign.traceparent());
  EXPECT_EQ(ranks.trace_high, TraceContextOf(kTraceparentOfClient).trace_high);
  EXPECT_TRUE(ranks.sampled);
  agent.Started(assign);
  cluster_.WaitFor("traced", v1::JOB_STATE_RUNNING);
  agent.HangUp();
  cluster_.Restart();  // once more, with the attempt running
  FakeAgent again(cluster_.port(), {.running = {[&] {
                                      internal::v1::RunningRank rank;
                                      rank.set_attempt_id(assign.attempt_id());
                                      rank.set_job(assign.job());
                                      rank.set_rank(assign.rank());
                                      return rank;
                                    }()}});
  ASSERT_OK(cluster_.Progress(assign, 3));
  again.Exited(assign, kExitUserError, "SPEC_INVALID", "no");
  cluster_.WaitFor("traced", v1::JOB_STATE_FAILED);
  std::map<std::string, SpanRecord> by_name;
  for (SpanRecord& span : spans.Take(1)) {
    // Calls of the test without a trace have begun others.
    if (span.context.trace_high == ranks.trace_high) by_name[span.name] = std::move(span);
  }
  ASSERT_TRUE(by_name.contains("attempt"));
  EXPECT_EQ(by_name["attempt"].context, ranks);
  EXPECT_TRUE(by_name["attempt"].failed);
  const uint64_t created = by_name["seer.v1.Jobs/CreateJob"].context.span;
  EXPECT_EQ(by_name["attempt"].parent_span, created);
  EXPECT_EQ(by_name["seer.v1.Jobs/CreateJob"].parent_span,
            TraceContextOf(kTraceparentOfClient).span);
}

TEST_F(TracingTest, WithoutATracerTheClientsContextIsHandedOn) {
  Create("traced", kTraceparentOfClient);
  Create("untraced", "");
  FakeAgent agent(cluster_.port(), {});
  std::map<std::string, std::string> given;  // by job
  for (int i = 0; i < 2; ++i) {
    const internal::v1::Assign assign = agent.NextAssign();
    agent.Started(assign);
    given[cluster_.Get(assign.job())->name()] = assign.traceparent();
  }
  std::set<std::string> all;
  for (const auto& [job, traceparent] : given) all.insert(traceparent);
  EXPECT_THAT(all, ::testing::ElementsAre("", kTraceparentOfClient));
}

TEST_F(TracingTest, AJobThatNobodyTracesIsARootOfTheCoordinators) {
  SpanList spans(Sampler{.parent_based = true, .ratio = 0});
  Create("unsampled", "");
  FakeAgent agent(cluster_.port(), {});
  const TraceContext ranks = TraceContextOf(agent.NextAssign().traceparent());
  EXPECT_TRUE(ranks.valid());
  EXPECT_FALSE(ranks.sampled) << "its ranks must not decide anew";
  EXPECT_TRUE(spans.Take().empty());
}

}  // namespace
}  // namespace seer::testing
