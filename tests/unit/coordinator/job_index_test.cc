// Pages of jobs, and that they cost what they hold: of 200,000 jobs as of 100.
#include "coordinator/core/job_index.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>
#include <limits>

#include "absl/strings/str_cat.h"
#include "coordinator/core/core.h"
#include "coordinator/core/job_states.h"

namespace seer::coordinator {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr int64_t kAll = std::numeric_limits<int64_t>::max();

class JobIndexTest : public ::testing::Test {
 protected:
  Job& Add(const std::string& name, JobState state) {
    Job& job = jobs_.emplace_back();
    job.number = static_cast<int64_t>(jobs_.size());
    job.id = absl::StrCat("job_", job.number);
    job.name = name;
    job.state = state;
    index_.Add(job);
    return job;
  }
  std::vector<int64_t> Page(const std::set<JobState>& states, int64_t below, int count) {
    std::vector<int64_t> numbers;
    for (const Job* job : index_.Page(states, below, count)) numbers.push_back(job->number);
    return numbers;
  }
  std::deque<Job> jobs_;
  JobIndex index_;
};

TEST_F(JobIndexTest, PagesHaveTheNewestFirst) {
  using enum JobState;
  for (const JobState state : {kRunning, kSucceeded, kRunning, kQueued, kSucceeded})
    Add("a", state);
  EXPECT_THAT(Page({}, kAll, 2), ElementsAre(5, 4));
  EXPECT_THAT(Page({}, 4, 10), ElementsAre(3, 2, 1));
  EXPECT_THAT(Page({kRunning, kQueued}, kAll, 2), ElementsAre(4, 3));
  EXPECT_THAT(Page({kRunning, kQueued}, 3, 2), ElementsAre(1));
  EXPECT_THAT(Page({kFailed}, kAll, 2), IsEmpty());
  EXPECT_THAT(Page({}, 1, 2), IsEmpty());
}

TEST_F(JobIndexTest, FollowsStatesAndNames) {
  Job& first = Add("a", JobState::kRunning);
  EXPECT_EQ(index_.Live("a"), &first);
  index_.Move(first, JobState::kFailed);
  first.state = JobState::kFailed;
  EXPECT_EQ(index_.Live("a"), nullptr);
  EXPECT_EQ(index_.Newest("a"), &first);
  Job& second = Add("a", JobState::kQueued);
  EXPECT_EQ(index_.Live("a"), &second);
  EXPECT_EQ(index_.Newest("a"), &second);
  EXPECT_EQ(index_.Newest("b"), nullptr);
  EXPECT_THAT(Page({JobState::kFailed}, kAll, 9), ElementsAre(1));
  EXPECT_THAT(Page({JobState::kRunning}, kAll, 9), IsEmpty());
}

TEST_F(JobIndexTest, APageOfVeryManyJobsLooksAtNoOthers) {
  for (int i = 0; i < 1'000'000; ++i)
    Add(absl::StrCat("job", i), i % 1000 == 0 ? JobState::kRunning : JobState::kSucceeded);
  const std::vector<int64_t> running = Page({JobState::kRunning}, kAll, 100);
  ASSERT_EQ(running.size(), 100u);
  EXPECT_EQ(running[0], 999'001);
  EXPECT_EQ(running[99], 900'001);
  // The numbers of all others are wrong from here on: a page that sorted them would show it.
  for (Job& job : jobs_)
    if (job.number % 1000 != 1) job.number = -1;
  EXPECT_EQ(Page({JobState::kRunning}, kAll, 100), running);
  EXPECT_EQ(index_.Newest("job77"), &jobs_[77]);
}

// Of the core itself, with a store's worth of jobs.
TEST(JobIndex, TheCoreKeepsItOverARestart) {
  StoredState state;
  for (int i = 1; i <= 300; ++i) {
    Job& job = state.jobs.emplace_back();
    job.id = absl::StrCat("job_", i);
    job.name = absl::StrCat("n", i % 7);
    job.number = job.queue_number = i;
    job.state = i == 42 ? JobState::kPaused : JobState::kSucceeded;
  }
  Core core{CoreOptions{}};
  const Moment now{absl::FromUnixSeconds(1'000'000), absl::Seconds(5)};
  core.Load(std::move(state), now);
  EXPECT_EQ((*core.Find("n3"))->id, "job_297");
  EXPECT_EQ(core.index().Page({JobState::kPaused}, kAll, 5).at(0)->id, "job_42");
  core.Step(command::CancelJob{"job_42", ""}, now);
  EXPECT_THAT(core.index().Page({JobState::kPaused}, kAll, 5), IsEmpty());
  EXPECT_EQ(core.index().Page({JobState::kCancelled}, kAll, 5).size(), 1u);
}

}  // namespace
}  // namespace seer::coordinator
