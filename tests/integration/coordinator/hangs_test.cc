// Gangs that stand still over real gRPC: agents are asked, answer, and the gang is ended or not.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "absl/strings/match.h"
#include "common/base/error.h"
#include "tests/integration/coordinator/cluster.h"
#include "tests/support/status_matchers.h"

namespace seer::testing {
namespace {

using internal::v1::Assign;
using ::testing::HasSubstr;
using Activity = internal::v1::RankActivities::RankActivity;

Activity Doing(const std::string& doing, double seconds, int64_t entered, int64_t completed) {
  Activity activity;
  activity.set_doing(doing);
  activity.set_seconds(seconds);
  activity.set_step(5);
  activity.set_steps_done(5);
  activity.set_compute_seconds(0.25);
  auto& world = *activity.add_groups();
  world.set_name("world");
  world.set_ranks(2);
  world.set_entered(entered);
  world.set_completed(completed);
  world.set_operation("all-reduce");
  if (doing == "collective") activity.set_detail(absl::StrCat("all-reduce ", entered, " of world"));
  return activity;
}

class HangsTest : public ::testing::Test {
 protected:
  HangsTest() {
    cluster_.hang_after = absl::Seconds(1);
    cluster_.Restart();
    first_ = std::make_unique<FakeAgent>(cluster_.port(), FakeAgent::Options{"a", 1});
    second_ = std::make_unique<FakeAgent>(cluster_.port(), FakeAgent::Options{"b", 1});
    EXPECT_TRUE(cluster_.WaitForWorkers(2));
  }
  // A gang on both that has made a step.
  void Begin(const std::string& name) {
    ASSERT_OK(cluster_.Create(SmallSpec(name, 2)));
    rank0_ = first_->NextAssign();
    rank1_ = second_->NextAssign();
    if (rank0_.rank() != 0) {
      std::swap(rank0_, rank1_);
      std::swap(first_, second_);
    }
    ASSERT_EQ(*cluster_.Progress(rank0_, 5, /*step_seconds=*/0.01), false);
  }
  int EventsOf(const std::string& name, const std::string& type) {
    const auto events = cluster_.Events(name);
    return static_cast<int>(std::count_if(events.begin(), events.end(),
                                          [&](const v1::Event& e) { return e.type() == type; }));
  }

  Cluster cluster_;
  std::unique_ptr<FakeAgent> first_, second_;
  Assign rank0_, rank1_;
};

TEST_F(HangsTest, AStoppedRankEndsItsGangAtOnceAndIsNamed) {
  Begin("stuck");
  EXPECT_EQ(first_->NextInspect().attempt_id(), rank0_.attempt_id());
  EXPECT_EQ(second_->NextInspect().attempt_id(), rank1_.attempt_id());
  Activity stopped = Doing("stopped", 1.5, 811, 811);
  stopped.set_detail("in compute");
  second_->Does(rank1_, stopped);
  first_->Does(rank0_, Doing("collective", 1.4, 812, 811));
  EXPECT_TRUE(first_->NextStop().kill());
  EXPECT_TRUE(second_->NextStop().kill());
  first_->Exited(rank0_, 128 + 9);
  second_->Exited(rank1_, 128 + 9);
  const Assign again = first_->NextAssign();
  EXPECT_GT(again.attempt_id(), rank0_.attempt_id());
  const v1::Job job = *cluster_.Get("stuck");
  EXPECT_EQ(job.last_failure().failure_class(), v1::FAILURE_CLASS_MACHINE);
  EXPECT_EQ(job.last_failure().sign(), "stopped");
  EXPECT_EQ(job.last_failure().rank(), 1);
  EXPECT_THAT(job.last_failure().message(),
              HasSubstr("is stopped by a signal or a debugger (in compute) for 1s"));
  const auto events = cluster_.Events("stuck");
  const auto ended = std::find_if(events.begin(), events.end(),
                                  [](const v1::Event& e) { return e.type() == "attempt_ended"; });
  ASSERT_NE(ended, events.end());
  EXPECT_EQ(ended->reason(), reason::kHung);
  EXPECT_EQ(EventsOf("stuck", "hang_found"), 1);
}

TEST_F(HangsTest, ARankThatWaitsForDataIsToldAndLeftAlone) {
  Begin("hungry");
  for (int look = 0; look < 2; ++look) {
    if (look == 0) {
      (void)first_->NextInspect();
      (void)second_->NextInspect();
    }
    first_->Does(rank0_, Doing("collective", 2, 812, 811));
    second_->Does(rank1_, Doing("data", 2, 811, 811));
    ASSERT_TRUE(Eventually([&] { return EventsOf("hungry", "hang_found") == 1; }));
  }
  EXPECT_EQ(cluster_.Get("hungry")->state(), v1::JOB_STATE_RUNNING);
  const auto events = cluster_.Events("hungry");
  EXPECT_THAT(events.back().message(),
              HasSubstr("never entered all-reduce 812 of world: waiting for data for 2s"));
}

TEST_F(HangsTest, WhatRanksDoIsShownOfAJobButNotInLists) {
  Begin("seen");
  second_->Does(rank1_, Doing("collective", 0.5, 812, 811));
  ASSERT_TRUE(Eventually([&] { return cluster_.Get("seen")->ranks(1).has_activity(); }));
  const v1::Job job = *cluster_.Get("seen");
  EXPECT_FALSE(job.ranks(0).has_activity());
  const v1::RankActivity& activity = job.ranks(1).activity();
  EXPECT_EQ(activity.doing(), "collective");
  EXPECT_EQ(activity.detail(), "all-reduce 812 of world");
  EXPECT_EQ(activity.seconds(), 0.5);
  EXPECT_EQ(activity.collectives(), 812);
  EXPECT_EQ(activity.compute_seconds(), 0.25);
  EXPECT_TRUE(activity.has_time());
  EXPECT_TRUE(cluster_.WaitFor("seen", v1::JOB_STATE_RUNNING).ranks(1).has_activity());
  grpc::ClientContext context;
  v1::ListJobsResponse list;
  ASSERT_TRUE(cluster_.jobs->ListJobs(&context, {}, &list).ok());
  ASSERT_EQ(list.jobs_size(), 1);
  ASSERT_EQ(list.jobs(0).ranks_size(), 2);
  EXPECT_FALSE(list.jobs(0).ranks(1).has_activity());
}

}  // namespace
}  // namespace seer::testing
