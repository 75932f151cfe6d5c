// What is forgotten, when, and what is never: jobs, events, request ids and sweeps.
#include "coordinator/core/history.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/reasons.h"
#include "coordinator/core/core.h"
#include "coordinator/core/data_plan.h"
#include "coordinator/core/job_states.h"
#include "tests/support/status_matchers.h"

namespace seer::coordinator {
namespace {

using ::testing::ElementsAre;
using testing::FailsWith;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

absl::Time At(int64_t second) { return absl::FromUnixSeconds(1'700'000'000 + second); }

TEST(RequestHistory, ForgetsTheOldestFirstAndSoManyAtATime) {
  RequestHistory requests;
  for (int i = 0; i < 5; ++i) requests.Add({absl::StrCat("r", i), "job", At(10 - i)});
  EXPECT_EQ(*requests.Find("r4"), "job");
  EXPECT_THAT(requests.Expire(At(6), 10), IsEmpty());
  EXPECT_THAT(requests.Expire(At(9), 2), ElementsAre("r4", "r3"));
  EXPECT_EQ(requests.Find("r4"), nullptr);
  EXPECT_TRUE(requests.Has(At(9)));
  requests.Add({"r2", "job", At(20)});  // again, later
  EXPECT_FALSE(requests.Has(At(9)));
  requests.Erase("r2");
  EXPECT_EQ(requests.size(), 2u);
}

TEST(EventHistory, ForgetsWholeBlocks) {
  EventHistory events;
  for (int64_t number = 1; number <= 3 * kEventBlock; ++number) events.Add(number, At(number));
  EXPECT_FALSE(events.Expire(At(kEventBlock), 10)) << "its last one is not old";
  EXPECT_EQ(events.first(), 1);
  EXPECT_TRUE(events.Expire(At(3 * kEventBlock), 1));
  EXPECT_EQ(events.first(), kEventBlock + 1);
  EXPECT_TRUE(events.Expire(At(3 * kEventBlock + 1), 10));
  EXPECT_EQ(events.first(), 3 * kEventBlock + 1);
  EXPECT_FALSE(events.Expire(absl::InfiniteFuture(), 10));
}

TEST(EndedJobs, WalksOverThoseThatMustStay) {
  EndedJobs ended;
  EXPECT_EQ(ended.Next(At(5)), "");
  for (const char* job : {"c", "a", "b"}) ended.Add(job, At(job[0] - 'a'));
  EXPECT_EQ(ended.Next(At(0)), "");
  EXPECT_EQ(ended.Next(At(2)), "a");
  EXPECT_EQ(ended.Next(At(2)), "b");
  EXPECT_EQ(ended.Next(At(2)), "a") << "c is too young";
  ended.Erase("b", At(1));
  EXPECT_EQ(ended.Next(At(9)), "c");
  EXPECT_EQ(ended.Next(At(9)), "a");
}

class ForgettingTest : public ::testing::Test {
 protected:
  ForgettingTest() {
    Worker worker;
    worker.name = "w";
    worker.devices = 1;
    Do(command::WorkerHello{worker, {}});
  }
  Decision Do(const Command& command) {
    Decision decision = core_.Step(command, now_);
    EXPECT_TRUE(decision.reply.status.ok()) << decision.reply.status;
    return decision;
  }
  command::CreateJob Create(const std::string& name) {
    command::CreateJob create;
    create.job.name = name;
    create.job.plan = TrainingPlan(1);
    create.job.numbers.steps = 10;
    create.job.numbers.max_restarts = 1000;
    create.request_id = name;
    create.id_seed = ++seed_;
    return create;
  }
  // One that ended without a checkpoint.
  std::string Cancelled(const std::string& name) {
    const std::string id = Do(Create(name)).reply.job;
    Cancel(id);
    return id;
  }
  void Cancel(const std::string& id) {
    const std::optional<Attempt> attempt = core_.jobs().at(id).attempt;
    Do(command::CancelJob{id, ""});
    if (attempt) Do(command::RankExited{"w", {attempt->id, "jobs/" + id, 0}, 137, "", ""});
    EXPECT_EQ(core_.jobs().at(id).state, JobState::kCancelled);
  }
  void Pass(absl::Duration time) {
    now_.wall += time;
    now_.steady += time;
  }
  // Ticks and answers as the coordinator does; the jobs that are gone.
  std::vector<std::string> Tick() {
    std::vector<std::string> gone;
    for (const std::string& id : Do(command::Tick{}).effects.delete_history) {
      const Decision done = Do(command::HistoryDeleted{id});
      gone.insert(gone.end(), done.changes.removed_jobs.begin(), done.changes.removed_jobs.end());
    }
    return gone;
  }

  Core core_{CoreOptions{.keep_jobs = absl::Hours(24 * 30), .keep_events = absl::Hours(24 * 30)}};
  Moment now_{At(0), absl::Seconds(100)};
  uint64_t seed_ = 0;
};

TEST_F(ForgettingTest, AJobGoesSomeTimeAfterItsEndBehindItsLogs) {
  const std::string id = Cancelled("old"), live = Do(Create("live")).reply.job;
  Pass(absl::Hours(24 * 30));
  EXPECT_THAT(Tick(), IsEmpty());
  Pass(absl::Seconds(1));
  EXPECT_THAT(Do(command::Tick{}).effects.delete_history, ElementsAre(id));
  EXPECT_THAT(Do(command::Tick{}).effects.delete_history, IsEmpty()) << "once is enough";
  EXPECT_TRUE(core_.Find("old").ok());
  const Decision gone = Do(command::HistoryDeleted{id});
  EXPECT_THAT(gone.changes.removed_jobs, ElementsAre(id));
  EXPECT_TRUE(gone.changes.jobs.empty());
  for (const std::string& name : {id, std::string("old")})
    EXPECT_THAT(core_.Find(name).status(),
                FailsWith(absl::StatusCode::kNotFound, reason::kJobNotFound, "no job"));
  EXPECT_TRUE(core_.Find(live).ok());
  Do(command::HistoryDeleted{id});  // again: nothing
}

TEST_F(ForgettingTest, WhatIsNeededStays) {
  const std::string trained = Do(Create("trained")).reply.job;
  Do(command::ReportCheckpoint{1, "jobs/" + trained, 0, 1, 5, {"rank-0", 1, std::string(64, 'a')}});
  Cancel(trained);
  command::CreateJob fork = Create("fork");
  fork.job.numbers.start_job = trained;
  fork.job.numbers.start_step = 5;
  const std::string forked = Do(fork).reply.job;
  const int64_t attempt = core_.jobs().at(forked).attempt->id;
  Do(command::ReportCheckpoint{
      attempt, "jobs/" + forked, 0, 1, 7, {"rank-0", 1, std::string(64, 'a')}});
  Cancel(forked);
  const std::string awaited = Cancelled("awaited"), of_schedule = Cancelled("of-schedule");
  const std::string free = Cancelled("free");
  command::CreateJob follower = Create("follower");
  follower.job.numbers.after = {{awaited, /*any_end=*/true}};
  const std::string following = Do(follower).reply.job;
  JobSchedule schedule;
  schedule.name = "nightly";
  schedule.cron = "@yearly";
  Do(command::CreateSchedule{schedule});
  Do(command::ScheduleRan{"nightly", now_.wall + absl::Seconds(1), of_schedule, ""});
  Sweep sweep;
  sweep.name = "rates";
  sweep.trials = 2;
  Do(command::CreateSweep{sweep, "", 1});
  command::CreateJob trial = Create("trial");
  trial.job.sweep = "rates";
  trial.trial = 1;
  const std::string tried = Do(trial).reply.job;
  Cancel(tried);
  Pass(absl::Hours(24 * 31));
  EXPECT_THAT(Tick(), ElementsAre(free));
  EXPECT_THAT(Tick(), IsEmpty());
  // What needed them goes, too.
  Cancel(following);
  Do(command::DeleteSchedule{"nightly"});
  Do(command::CancelSweep{"rates"});
  EXPECT_THAT(Tick(), UnorderedElementsAre(awaited, of_schedule, tried));
  EXPECT_TRUE(core_.FindSweep("rates").ok()) << "it ended a moment ago";
  Pass(absl::Hours(24 * 31));
  EXPECT_THAT(Tick(), ElementsAre(following));
  EXPECT_FALSE(core_.FindSweep("rates").ok());
  EXPECT_TRUE(core_.Find(trained).ok());
  EXPECT_TRUE(core_.Find(forked).ok());
}

// A checkpoint may be kept as the best for as long as it is there.
TEST_F(ForgettingTest, AnEvaluationStaysAsLongAsItsCheckpoint) {
  const std::string trained = Do(Create("trained")).reply.job;
  Do(command::ReportCheckpoint{1, "jobs/" + trained, 0, 1, 5, {"rank-0", 1, std::string(64, 'a')}});
  Cancel(trained);
  std::vector<std::string> judges;
  for (const char* name : {"judge", "failed"}) {
    command::CreateJob create = Create(name);
    create.job.numbers.evaluation = true;
    create.job.numbers.eval_job = trained;
    create.job.numbers.eval_step = 5;
    judges.push_back(Do(create).reply.job);
    const int64_t attempt = core_.jobs().at(judges.back()).attempt->id;
    if (name == std::string("judge")) {
      Do(command::ReportEval{attempt, "jobs/" + judges.back(), {{{20, 0.9, 0.99}}, 10, 10}});
      Do(command::RankExited{"w", {attempt, "jobs/" + judges.back(), 0}, 0, "", ""});
    } else {
      Cancel(judges.back());
    }
  }
  ASSERT_EQ(core_.jobs().at(judges[0]).state, JobState::kSucceeded);
  Pass(absl::Hours(24 * 31));
  EXPECT_THAT(Tick(), ElementsAre(judges[1]));
  EXPECT_THAT(Tick(), IsEmpty());
  EXPECT_TRUE(core_.Find("judge").ok());
}

TEST_F(ForgettingTest, AScheduleOfAClockThatWasAheadGoesOnWhenItIsChanged) {
  JobSchedule schedule;
  schedule.name = "hourly";
  schedule.cron = "@hourly";
  Do(command::CreateSchedule{schedule});
  Do(command::ScheduleRan{"hourly", now_.wall + absl::Hours(24 * 365), Cancelled("a"), ""});
  Pass(absl::Hours(2));
  EXPECT_THAT(core_.DueTimes(now_.wall), IsEmpty());
  Do(command::UpdateSchedule{schedule, 0});
  Pass(absl::Hours(2));
  EXPECT_THAT(core_.DueTimes(now_.wall), SizeIs(1));
}

TEST_F(ForgettingTest, AJobThatIsNeededAgainMeanwhileStays) {
  const std::string id = Cancelled("old");
  Pass(absl::Hours(24 * 31));
  EXPECT_THAT(Do(command::Tick{}).effects.delete_history, ElementsAre(id));
  command::CreateJob follower = Create("follower");
  follower.job.numbers.after = {{id, /*any_end=*/true}};
  Do(follower);
  EXPECT_THAT(Do(command::HistoryDeleted{id}).changes.removed_jobs, IsEmpty());
  EXPECT_TRUE(core_.Find(id).ok());
}

TEST_F(ForgettingTest, OnlySoManyATick) {
  for (int i = 0; i < 25; ++i) Cancelled(absl::StrCat("job", i));
  Pass(absl::Hours(24 * 31));
  for (const size_t gone : {10u, 10u, 5u, 0u}) EXPECT_THAT(Tick(), SizeIs(gone));
}

TEST_F(ForgettingTest, ARequestIsKnownForSevenDays) {
  const std::string id = Do(Create("a")).reply.job;
  const std::string pause = "pause-once";
  Do(command::PauseJob{id, pause});
  EXPECT_EQ(core_.CreatedBy("a"), id);
  Pass(kKeepRequests);
  Tick();
  EXPECT_EQ(core_.CreatedBy("a"), id);
  Pass(absl::Seconds(1));
  EXPECT_THAT(Do(command::Tick{}).changes.removed_requests,
              UnorderedElementsAre("create/a", absl::StrCat("pause/", id, "/", pause)));
  EXPECT_EQ(core_.CreatedBy("a"), "");
}

}  // namespace
}  // namespace seer::coordinator
