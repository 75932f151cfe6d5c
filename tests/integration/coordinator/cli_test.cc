// The command line's verbs about jobs, sweeps and schedules against a coordinator in this process.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "client/cli.h"
#include "client/exit_code.h"
#include "tests/integration/coordinator/cluster.h"
#include "tests/support/status_matchers.h"

namespace seer::testing {
namespace {

using internal::v1::Assign;
using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::Not;

struct Outcome {
  int code = -1;
  std::string out, err;
};

class CliTest : public ::testing::Test {
 protected:
  CliTest() {
    setenv("SEER_CONFIG", (cluster_.dir() / "config.yaml").c_str(), 1);
    File("job.yaml", Job("a"));
  }
  ~CliTest() override { unsetenv("SEER_CONFIG"); }
  // "job set a x=1": words without spaces in them.
  Outcome Seer(const std::string& line) {
    std::vector<std::string> words = absl::StrSplit(line, ' ', absl::SkipEmpty());
    words.insert(words.begin(), "seer");
    words.push_back("--coordinator");
    words.push_back(absl::StrCat("127.0.0.1:", cluster_.port()));
    std::vector<const char*> arguments;
    for (const std::string& word : words) arguments.push_back(word.c_str());
    ::testing::internal::CaptureStdout();
    ::testing::internal::CaptureStderr();
    Outcome outcome;
    outcome.code = client::RunCli(static_cast<int>(arguments.size()), arguments.data());
    outcome.out = ::testing::internal::GetCapturedStdout();
    outcome.err = ::testing::internal::GetCapturedStderr();
    return outcome;
  }
  std::string Good(const std::string& line) {
    const Outcome outcome = Seer(line);
    EXPECT_EQ(outcome.code, 0) << line << "\n" << outcome.err;
    return outcome.out;
  }
  std::string File(const std::string& name, const std::string& text) {
    std::ofstream(cluster_.dir() / name) << text;
    return cluster_.dir() / name;
  }
  std::string Path(const std::string& name) { return cluster_.dir() / name; }
  static std::string Job(const std::string& name) {
    return absl::StrCat(name.empty() ? "" : absl::StrCat("metadata: {name: ", name, "}\n"),
                        "data: {pool: cats}\noptim: {steps: 20}\n");
  }

  Cluster cluster_;
};

TEST_F(CliTest, SetChangesAJobAndAnOldEtagIsRefused) {
  Good("job submit " + Path("job.yaml"));
  const std::string etag = cluster_.Get("a")->etag();
  EXPECT_THAT(Good("job set a scheduling.priority=5 failure.maxRestarts=3 metadata.labels.team=x"),
              HasSubstr("priority 5"));
  const v1::JobSpec spec = cluster_.Get("a")->spec();
  EXPECT_EQ(spec.failure().max_restarts(), 3);
  EXPECT_EQ(spec.metadata().labels().at("team"), "x");
  const Outcome late = Seer("job set a scheduling.priority=7 --etag " + etag);
  EXPECT_EQ(late.code, kExitConflict);
  EXPECT_THAT(late.err, HasSubstr("was changed meanwhile"));
  EXPECT_THAT(late.err, HasSubstr("hint: look at it again: `seer job describe"));
  Good("job set a failure.maxRestarts= metadata.labels.team=");
  EXPECT_EQ(cluster_.Get("a")->spec().failure().max_restarts(), 10) << "the default again";
  EXPECT_EQ(cluster_.Get("a")->spec().metadata().labels().size(), 0u);
  EXPECT_THAT(Seer("job set a optim.lr=3").err, HasSubstr("may not change"));
  EXPECT_THAT(Good("job events a"), HasSubstr("failure.maxRestarts from 3 to 10"));
}

TEST_F(CliTest, JobsAreListedByQueueLabelAndNumber) {
  Good("queue create vision --quota 4");
  for (const char* name : {"x", "y", "z"})
    Good("job submit " + Path("job.yaml") + " --name " + name +
         " --set scheduling.queue=" + (name[0] == 'z' ? "default" : "vision") +
         " --set metadata.labels.team=" + (name[0] == 'x' ? "red" : "blue") +
         " --set metadata.labels.tier=one");
  EXPECT_THAT(Good("job list --queue vision"), Not(HasSubstr(" z ")));
  EXPECT_EQ(json::parse(Good("job list --label team=blue -o json")).size(), 2u);
  EXPECT_EQ(json::parse(Good("ps -l team=blue -l tier=one --queue vision -o json")).size(), 1u);
  EXPECT_EQ(json::parse(Good("job list --label team= -o json")).size(), 0u);
  const auto newest = json::parse(Good("job list --limit 1 -o json"));
  ASSERT_EQ(newest.size(), 1u);
  EXPECT_EQ(newest[0]["spec"]["metadata"]["name"], "z");
  const Outcome wrong = Seer("job list --label team");
  EXPECT_EQ(wrong.code, kExitUsage);
  EXPECT_THAT(wrong.err, HasSubstr("as KEY=VALUE"));
  EXPECT_EQ(Seer("job list --limit 0").code, kExitUsage);
}

TEST_F(CliTest, EventsAreFollowedToTheEndOfTheJobEachOnce) {
  Good("job submit " + Path("job.yaml"));
  const int64_t first = cluster_.Events(cluster_.Get("a")->name()).front().number();
  std::thread cancel([&] { EXPECT_TRUE(cluster_.Cancel("a").ok()); });
  const std::string out = Good("job events -f a -o jsonl");
  cancel.join();
  std::vector<int64_t> numbers;
  std::string state;
  for (const std::string& line :
       std::vector<std::string>(absl::StrSplit(out, '\n', absl::SkipEmpty()))) {
    const json event = json::parse(line);
    numbers.push_back(std::stoll(event["number"].get<std::string>()));
    state = event.value("toState", state);
  }
  EXPECT_EQ(state, "CANCELLED");
  std::vector<int64_t> all;
  for (const v1::Event& event : cluster_.Events(cluster_.Get("a")->name()))
    all.push_back(event.number());
  EXPECT_EQ(numbers, all);
  all.erase(all.begin());
  for (const char* follow : {"", "-f "}) {
    const std::string rest =
        Good(absl::StrCat("job events ", follow, "a --after ", first, " -o jsonl"));
    const std::vector<std::string> lines = absl::StrSplit(rest, '\n', absl::SkipEmpty());
    EXPECT_EQ(lines.size(), all.size()) << rest;
  }
  EXPECT_EQ(Seer("job events a --after -1").code, kExitUsage);
}

TEST_F(CliTest, AFileOfSeveralJobsIsSubmittedInOrder) {
  File("chain.yaml",
       "metadata: {name: judge}\nkind: eval_knn\nchain: {after: [{job: train}]}\n"
       "eval: {checkpoint: jobs/train, trainPool: digits, testPool: digits}\n---\n" +
           Job("train"));
  const std::vector<std::string> ids =
      absl::StrSplit(Good("job submit " + Path("chain.yaml")), '\n', absl::SkipEmpty());
  ASSERT_EQ(ids.size(), 2u);
  EXPECT_EQ(cluster_.Get("train")->name(), "jobs/" + ids[0]);
  EXPECT_EQ(cluster_.Get("judge")->spec().chain().after(0).job(), "jobs/" + ids[0]);
  EXPECT_THAT(Good("job describe judge"), HasSubstr("waits for job " + ids[0]));
  const Outcome again = Seer("job submit " + Path("chain.yaml"));
  EXPECT_EQ(again.code, kExitConflict);
  EXPECT_THAT(again.err, HasSubstr("'train' has not ended"));
}

TEST_F(CliTest, RetryGoesOnFromTheNewestCheckpoint) {
  FakeAgent agent(cluster_.port(), {.name = "w1", .devices = 1});
  ASSERT_TRUE(cluster_.WaitForWorkers(1));
  Good("job submit " + Path("job.yaml"));
  const Assign rank = agent.NextAssign();
  EXPECT_EQ(*cluster_.Checkpoint(rank, 5), true);
  const Outcome early = Seer("job retry a");
  EXPECT_EQ(early.code, kExitError);
  EXPECT_THAT(early.err, HasSubstr("cannot be retried"));
  ASSERT_OK(cluster_.Cancel("a"));
  agent.Exited(rank, 128 + 9);
  cluster_.WaitFor(rank.job(), v1::JOB_STATE_CANCELLED);
  const std::string second(absl::StripAsciiWhitespace(Good("job retry a --set optim.steps=30")));
  const Assign again = agent.NextAssign();
  EXPECT_EQ(again.job(), "jobs/" + second);
  EXPECT_EQ(again.restore_step(), 5);
  EXPECT_THAT(again.restore_uri(), HasSubstr(rank.job().substr(5)));
  EXPECT_THAT(Good("job diff " + rank.job().substr(5) + " " + second),
              HasSubstr("optim.steps: 20 -> 30\n"));
  ASSERT_OK(cluster_.Cancel(again.job()));
  agent.Exited(again, 128 + 9);
  cluster_.WaitFor(again.job(), v1::JOB_STATE_CANCELLED);
  Good("job retry " + rank.job().substr(5) + " --from-start");
  EXPECT_EQ(agent.NextAssign().restore_step(), 0);
}

TEST_F(CliTest, WhatIsExportedIsTheSameJobAgain) {
  Good("job submit " + Path("job.yaml"));
  File("full.yaml", Good("job export-config a"));
  File("minimal.yaml", Good("job export-config a --minimal"));
  EXPECT_THAT(Seer("job diff " + Path("full.yaml") + " a").err, HasSubstr("do not differ"));
  EXPECT_THAT(Seer("job diff a " + Path("minimal.yaml")).err, HasSubstr("do not differ"));
  EXPECT_THAT(Good("job export-config a --minimal"), Not(HasSubstr("momentum")));
  const json differences = json::parse(Good("job diff " + File("b.yaml", Job("b")) + " a -o json"));
  ASSERT_EQ(differences.size(), 1u);
  EXPECT_EQ(differences[0]["path"], "metadata.name");
  EXPECT_EQ(Seer("job diff a nobody").code, kExitError);
}

TEST_F(CliTest, WhatIsNotThereIsSaidBeforeAnythingIsAsked) {
  for (const char* line : {"queue delete nosuch", "schedule delete nosuch", "sweep cancel nosuch",
                           "auth token revoke nosuch"}) {
    const Outcome outcome = Seer(line);
    EXPECT_EQ(outcome.code, kExitError) << line << outcome.err;
    EXPECT_THAT(outcome.err, HasSubstr("nosuch")) << line;
    EXPECT_THAT(outcome.err, Not(HasSubstr("terminal"))) << line;
  }
}

TEST_F(CliTest, WhatIsDeletedIsNotShownAsIfAlive) {
  Good("queue create night");
  const Outcome asked = Seer("queue delete night");
  EXPECT_EQ(asked.code, kExitUsage);
  EXPECT_THAT(asked.err, HasSubstr("say --yes"));
  EXPECT_THAT(asked.err, Not(HasSubstr("--dry-run"))) << "it has none";
  EXPECT_EQ(Good("queue delete night --yes"), "deleted night\n");
  Good("schedule create daily " + Path("job.yaml") + " --cron @daily");
  EXPECT_EQ(Good("schedule delete daily --yes"), "deleted daily\n");
  Good("queue create night");
  EXPECT_EQ(json::parse(Good("queue delete night --yes -o json"))["name"], "queues/night");
}

TEST_F(CliTest, ATokenThatCannotBeShownIsRevoked) {
  const int before = ::dup(STDOUT_FILENO);
  const int full = ::open("/dev/full", O_WRONLY | O_CLOEXEC);
  ::dup2(full, STDOUT_FILENO);
  ::close(full);
  const std::string coordinator = absl::StrCat("127.0.0.1:", cluster_.port());
  const char* const words[] = {"seer",   "auth",      "token",         "create",           "ci",
                               "--role", "submitter", "--coordinator", coordinator.c_str()};
  ::testing::internal::CaptureStderr();
  const int code = client::RunCli(std::size(words), words);
  const std::string said = ::testing::internal::GetCapturedStderr();
  ::dup2(before, STDOUT_FILENO);
  ::close(before);
  EXPECT_EQ(code, kExitError) << said;
  EXPECT_THAT(said, HasSubstr("token ci was revoked again"));
  EXPECT_THAT(said, HasSubstr("cannot write the output: No space left on device"));
  EXPECT_THAT(Good("auth token list"), HasSubstr("REVOKED"));
}

TEST_F(CliTest, ASweepIsMadeShownAndCancelled) {
  FakeAgent agent(cluster_.port(), {.name = "w1", .devices = 2});
  ASSERT_TRUE(cluster_.WaitForWorkers(1));
  Good("sweep create " + Path("job.yaml") + " --name rates --param optim.lr=0.1,0.2,0.3 " +
       "--parallel 2 --budget 12h");
  const Assign first = agent.NextAssign(), second = agent.NextAssign();
  EXPECT_OK(cluster_.Progress(second, 3));
  const std::string shown = Good("sweep describe rates");
  EXPECT_THAT(shown, HasSubstr("2 of 3 made, at most 2 at a time"));
  EXPECT_THAT(shown, HasSubstr("of 12h"));
  EXPECT_LT(shown.find(second.job().substr(5)), shown.find(first.job().substr(5)))
      << "the one with a loss comes first\n"
      << shown;
  EXPECT_THAT(Good("sweep list"), HasSubstr("rates"));
  EXPECT_THAT(Good("job describe rates-1"), HasSubstr("sweeps/rates"));
  EXPECT_EQ(Seer("sweep cancel rates").code, kExitUsage) << "it asks";
  EXPECT_THAT(Good("sweep cancel rates --yes"), HasSubstr("CANCELLED"));
}

TEST_F(CliTest, AScheduleIsMadeChangedAndDeleted) {
  File("plain.yaml", Job(""));
  EXPECT_THAT(Good("schedule create nightly " + Path("plain.yaml") + " --cron @daily"),
              HasSubstr("@daily (UTC)"));
  Good("schedule create weekly " + Path("job.yaml") + " --cron @weekly");  // which has a name
  Good("schedule delete weekly --yes");
  EXPECT_THAT(Good("schedule set nightly --cron @weekly --overlap replace"), HasSubstr("replace"));
  EXPECT_THAT(Good("schedule set nightly --suspend"), HasSubstr("suspended"));
  EXPECT_THAT(Good("schedule list"), HasSubstr("@weekly"));
  EXPECT_THAT(Good("schedule describe nightly"), HasSubstr("pool: cats"));
  Good("schedule delete nightly --yes");
  EXPECT_THAT(Seer("schedule describe nightly").err, HasSubstr("no schedule 'nightly'"));
}

}  // namespace
}  // namespace seer::testing
