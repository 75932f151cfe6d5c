#include "client/top_screen.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace seer::client {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

v1::Job MakeJob(const std::string& name, double loss, v1::JobState state = v1::JOB_STATE_RUNNING) {
  v1::Job job;
  job.set_name("jobs/job_" + name);
  job.mutable_spec()->mutable_metadata()->set_name(name);
  job.mutable_spec()->mutable_optim()->set_steps(100);
  job.mutable_spec()->mutable_distributed()->set_ranks(2);
  job.set_state(state);
  if (loss > 0) {
    job.mutable_progress()->set_step(50);
    job.mutable_progress()->set_loss(loss);
    job.mutable_progress()->set_images_per_second(1000);
    job.mutable_progress()->set_step_seconds(0.5);
  }
  return job;
}

v1::Worker MakeWorker(const std::string& name) {
  v1::Worker worker;
  worker.set_name("workers/" + name);
  worker.set_state(v1::WORKER_STATE_UP);
  worker.set_devices(4);
  worker.set_devices_in_use(2);
  worker.set_device_kind("cuda");
  worker.add_jobs("jobs/job_a");
  return worker;
}

std::vector<std::string> Lines(const TopScreen& screen, int width = 120, int height = 20,
                               bool color = false) {
  return absl::StrSplit(screen.Draw(width, height, absl::UnixEpoch(), color), '\n');
}

// The names in the order of their lines.
std::vector<std::string> Order(const TopScreen& screen) {
  std::vector<std::string> names;
  for (const std::string& line : Lines(screen))
    if (line.size() > 1 && line[1] == ' ' && line[0] >= 'a' && line[0] <= 'z')
      names.push_back(line.substr(0, 1));
  return names;
}

TEST(TopScreen, ShowsJobsRanksAndWorkers) {
  TopScreen screen;
  v1::Job chosen = MakeJob("a", 2);
  auto& activity = *chosen.add_ranks()->mutable_activity();
  activity.set_doing("compute");
  activity.set_compute_seconds(0.25);
  screen.Show({MakeJob("a", 2), MakeJob("b", 0, v1::JOB_STATE_QUEUED)}, {MakeWorker("w1")},
              &chosen);
  const std::string text = screen.Draw(120, 20, absl::UnixEpoch(), false);
  EXPECT_THAT(text, HasSubstr("jobs 2, running 1   workers 1/1   devices 2/4"));
  EXPECT_THAT(text, HasSubstr("RUNNING      50%          50/100   2.0000      1000"));
  EXPECT_THAT(text, HasSubstr("0.250 s"));
  EXPECT_THAT(text, HasSubstr("2/4 cuda"));
  EXPECT_THAT(text, HasSubstr("job_a"));
  EXPECT_THAT(text, HasSubstr("q: end"));
}

TEST(TopScreen, FitsTheTerminal) {
  TopScreen screen;
  std::vector<v1::Job> jobs;
  for (char name = 'a'; name <= 'z'; ++name) jobs.push_back(MakeJob(std::string(1, name), 1));
  const v1::Job chosen = jobs[0];
  screen.Show(jobs, {MakeWorker("w1"), MakeWorker("w2")}, &chosen);
  for (const int width : {1, 40, 80, 200}) {
    for (const int height : {6, 10, 24, 60}) {
      const std::vector<std::string> lines = Lines(screen, width, height);
      EXPECT_LE(lines.size(), static_cast<size_t>(height));
      for (const std::string& line : lines)
        EXPECT_LE(line.size(), static_cast<size_t>(width)) << line;
    }
  }
  EXPECT_LE(Lines(screen, 80, 0).size(), 6u);  // a terminal that says nothing of itself
}

// No column is cut in the middle.
TEST(TopScreen, NarrowTerminalsShowFewerColumns) {
  TopScreen screen;
  screen.Show({MakeJob("a-name-of-24-characters-", 2)}, {}, nullptr);
  for (const int width : {60, 80, 100, 110, 111, 200}) {
    const std::vector<std::string> lines = Lines(screen, width);
    EXPECT_TRUE(absl::EndsWith(lines[1], "LEFT")) << lines[1];
    EXPECT_TRUE(absl::EndsWith(lines[2], " 25s")) << lines[2];
    EXPECT_LE(static_cast<int>(lines[1].size()), width);
    EXPECT_EQ(lines[1].size(), lines[2].size());
  }
  EXPECT_THAT(Lines(screen, 111)[1], HasSubstr("RANKS"));
  EXPECT_THAT(Lines(screen, 110)[2], HasSubstr("a-name-of-24-character~ "));
  EXPECT_THAT(Lines(screen, 80)[1], AllOf(Not(HasSubstr("RANKS")), HasSubstr("IMAGES/S")));
  EXPECT_THAT(Lines(screen, 80)[2], HasSubstr("a-name-of~ "));
}

TEST(TopScreen, KeepsTheChosenJobInSight) {
  TopScreen screen;
  std::vector<v1::Job> jobs;
  for (char name = 'a'; name <= 'z'; ++name) jobs.push_back(MakeJob(std::string(1, name), 1));
  screen.Show(jobs, {}, nullptr);
  EXPECT_EQ(screen.Chosen(), "jobs/job_a");
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(screen.Keys("\033[B"));
  EXPECT_EQ(screen.Chosen(), "jobs/job_z");
  EXPECT_THAT(screen.Draw(80, 10, absl::UnixEpoch(), false), HasSubstr("\nz  "));
  EXPECT_TRUE(screen.Keys("k\033OA"));
  EXPECT_EQ(screen.Chosen(), "jobs/job_x");
  jobs.erase(jobs.begin() + 23);  // x has ended
  screen.Show(jobs, {}, nullptr);
  EXPECT_EQ(screen.Chosen(), "jobs/job_a");
}

TEST(TopScreen, SortsByTheColumnThatIsChosen) {
  TopScreen screen;
  screen.Show(
      {MakeJob("b", 3), MakeJob("c", 0, v1::JOB_STATE_QUEUED), MakeJob("a", 1), MakeJob("d", 2)},
      {}, nullptr);
  EXPECT_THAT(Order(screen), ElementsAre("a", "b", "c", "d"));
  screen.Keys("r");
  EXPECT_THAT(Order(screen), ElementsAre("d", "c", "b", "a"));
  screen.Keys("r\033[C\033[C\033[C\033[C");  // the fifth: the loss
  EXPECT_THAT(Lines(screen)[1], HasSubstr("LOSS+"));
  EXPECT_THAT(Order(screen), ElementsAre("b", "d", "a", "c"));  // who has none comes last
  screen.Keys("r");
  EXPECT_THAT(Order(screen), ElementsAre("a", "d", "b", "c"));
  screen.Keys("\033[D\033[D\033[D\033[D\033[D");  // round to the last
  EXPECT_THAT(Lines(screen)[1], HasSubstr("LEFT-"));
}

TEST(TopScreen, EndsAtQOrEscape) {
  TopScreen screen;
  EXPECT_TRUE(screen.Keys("xyz"));
  EXPECT_FALSE(screen.Keys("q"));
  EXPECT_FALSE(screen.Keys("\033"));
}

TEST(TopScreen, SaysWhatIsWrongOrMissing) {
  TopScreen screen;
  screen.Show({}, {}, nullptr);
  EXPECT_EQ(screen.Chosen(), "");
  EXPECT_TRUE(screen.Keys("j\033[A"));
  EXPECT_THAT(screen.Draw(120, 10, absl::UnixEpoch(), false),
              HasSubstr("`seer job submit` makes one"));
  screen.Trouble("cannot reach the coordinator");
  EXPECT_THAT(Lines(screen).back(), HasSubstr("cannot reach the coordinator"));
  screen.Show({}, {}, nullptr);
  EXPECT_THAT(Lines(screen).back(), Not(HasSubstr("cannot reach")));
  EXPECT_THAT(screen.Draw(120, 10, absl::UnixEpoch(), true), HasSubstr("\033[7m"));
}

}  // namespace
}  // namespace seer::client
