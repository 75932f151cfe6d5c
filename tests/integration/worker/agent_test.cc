// The agent between a coordinator played by the test and trainers that do as they are told.
#include "worker/agent/agent.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/trainer_exit.h"
#include "tests/integration/worker/fake_coordinator.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace seer::worker {
namespace {

namespace fs = std::filesystem;
using ::seer::testing::FailsWith;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;
using Heard = testing::FakeCoordinator::Heard;
using internal::v1::RankReport;

class AgentTest : public ::testing::Test {
 protected:
  AgentConfig Config() const {
    AgentConfig config;
    config.coordinator = coordinator_->address();
    config.name = "w1";
    config.devices = 2;
    config.address = "10.0.0.7";
    config.labels = {{"rack", "7"}};
    config.work_dir = dir_ / "work";
    config.trainer = SEER_FAKE_TRAINER;
    config.grace = absl::Seconds(20);
    return config;
  }
  void Start(absl::Duration lease = absl::Seconds(15)) {
    coordinator_ = std::make_unique<testing::FakeCoordinator>(absl::Milliseconds(20), lease);
    ASSERT_OK_AND_ASSIGN(agent_, Agent::Start(Config(), metrics_));
    ASSERT_TRUE(coordinator_->WaitFor([](const Heard& h) { return h.open; }));
  }
  // Of rank `rank` of attempt `attempt_id`.
  RankReport Exit(int64_t attempt_id, int rank = 0) {
    RankReport report;
    EXPECT_TRUE(coordinator_->WaitForExit(attempt_id, rank, &report)) << "no exit was reported";
    return report;
  }
  int Exits(int64_t attempt_id) {
    const Heard heard = coordinator_->heard();
    return static_cast<int>(
        std::count_if(heard.reports.begin(), heard.reports.end(), [&](const RankReport& r) {
          return r.attempt_id() == attempt_id && r.state() == RankReport::STATE_EXITED;
        }));
  }
  // The coordinator has heard so many more heartbeats.
  void Beats(size_t count) {
    const size_t before = coordinator_->heard().heartbeats.size();
    EXPECT_TRUE(coordinator_->WaitFor(
        [&](const Heard& h) { return h.heartbeats.size() >= before + count; }));
  }
  // A heartbeat from now on names no rank.
  bool WaitUntilNothingRuns() {
    const size_t before = coordinator_->heard().heartbeats.size();
    return coordinator_->WaitFor([&](const Heard& h) {
      return h.heartbeats.size() > before && h.heartbeats.back().running().empty();
    });
  }
  // Once a rank runs: the stream breaks, and the agent knows. It has dialled again, but nobody
  // answers.
  void GoAway() {
    EXPECT_TRUE(coordinator_->WaitFor([](const Heard& h) { return !h.reports.empty(); }));
    coordinator_->SetWelcoming(false);
    coordinator_->HangUp();
    EXPECT_TRUE(coordinator_->WaitFor([](const Heard& h) { return h.hellos.size() == 2; }));
  }
  // What only the agent itself can tell while it has no coordinator.
  void WaitUntilNoneRuns() {
    const absl::Time deadline = absl::Now() + absl::Seconds(30);
    while (!absl::StrContains(metrics_.Render(), "seer_worker_ranks 0")) {
      ASSERT_LT(absl::Now(), deadline);
      absl::SleepFor(absl::Milliseconds(10));
    }
  }
  std::string Signal() const { return dir_ / "signal"; }
  static void Write(const std::string& path) { std::ofstream(path) << "now"; }
  size_t RankFiles() const {
    return static_cast<size_t>(
        std::distance(fs::directory_iterator(dir_ / "work/ranks"), fs::directory_iterator()));
  }

  testing::TempDir dir_;
  MetricsRegistry metrics_;
  std::unique_ptr<testing::FakeCoordinator> coordinator_;
  std::unique_ptr<Agent> agent_;
};

TEST_F(AgentTest, HelloSaysWhatTheMachineOffers) {
  Start();
  const auto hello = coordinator_->heard().hellos.at(0);
  EXPECT_EQ(hello.worker(), "w1");
  EXPECT_EQ(hello.devices(), 2);
  EXPECT_EQ(hello.labels().at("rack"), "7");
  EXPECT_EQ(hello.address(), "10.0.0.7");
  EXPECT_EQ(hello.device_kind(), "cpu");
  EXPECT_EQ(hello.version(), SEER_VERSION);
  EXPECT_FALSE(hello.hostname().empty());
  EXPECT_FALSE(hello.incarnation().empty());
  EXPECT_EQ(hello.running_size(), 0);
}

TEST_F(AgentTest, AnAcknowledgementMayChangeThePeriodOfHeartbeats) {
  coordinator_ = std::make_unique<testing::FakeCoordinator>(/*heartbeat=*/absl::Hours(1));
  coordinator_->SetHeartbeatPeriod(absl::Milliseconds(10));
  ASSERT_OK_AND_ASSIGN(agent_, Agent::Start(Config(), metrics_));
  Beats(4);  // the first one comes with the welcome
}

TEST_F(AgentTest, ARankRunsAndItsEndIsReportedOnceItIsKnown) {
  Start();
  coordinator_->Assign(1, 0, "print hello\nexit 0");
  const RankReport report = Exit(1);
  EXPECT_EQ(report.exit_code(), 0);
  EXPECT_EQ(report.job(), "jobs/a");
  EXPECT_TRUE(WaitUntilNothingRuns());
  const Heard heard = coordinator_->heard();
  EXPECT_EQ(heard.reports.front().state(), RankReport::STATE_STARTED);
  EXPECT_THAT(heard.lines, Contains("0: hello"));
  Beats(3);
  EXPECT_EQ(Exits(1), 1) << "acknowledged, so not repeated";
  EXPECT_EQ(RankFiles(), 0u);
  EXPECT_THAT(metrics_.Render(), HasSubstr("seer_worker_ranks 0"));
  EXPECT_THAT(metrics_.Render(), HasSubstr("seer_worker_up 1"));
}

// As after a partition: the old ranks are lost to the coordinator, but they are still there.
TEST_F(AgentTest, ARankWaitsForADeviceUntilAnOldOneHasEnded) {
  Start();
  coordinator_->Assign(1, 0, "file " + Signal() + "\nexit 0", 2);
  coordinator_->Assign(1, 1, "deaf", 2);
  ASSERT_TRUE(coordinator_->WaitForLine("1: deaf"));
  coordinator_->Assign(2, 0, "print next\nexit 0", 2);
  coordinator_->Assign(2, 1, "print last\nexit 0", 2);
  Beats(3);
  const Heard before = coordinator_->heard();
  EXPECT_EQ(before.heartbeats.back().running_size(), 4) << "they are not lost";
  EXPECT_THAT(before.lines, Not(Contains("0: next")));
  Write(Signal());
  EXPECT_EQ(Exit(2, 0).exit_code(), 0);
  EXPECT_EQ(Exit(2, 1).exit_code(), 0) << "on the device that the first one left";
  coordinator_->SendStop(1, /*kill=*/true);
  EXPECT_EQ(Exit(1, 1).exit_code(), 128 + 9);
}

TEST_F(AgentTest, ARankThatIsStoppedWhileItWaitsNeverStarts) {
  Start();
  for (const int rank : {0, 1}) coordinator_->Assign(1, rank, "deaf", 2);
  ASSERT_TRUE(coordinator_->WaitForLine("1: deaf"));
  coordinator_->Assign(2, 0, "print never");
  Beats(2);
  coordinator_->SendStop(2, /*kill=*/false);
  const RankReport report = Exit(2);
  EXPECT_EQ(report.exit_code(), kExitPaused);
  EXPECT_TRUE(report.prompted());
  coordinator_->Assign(3, 0, "print never", 2);
  Beats(2);
  coordinator_->SendStop(3, /*kill=*/false);
  EXPECT_EQ(Exit(3).exit_code(), 128 + SIGTERM) << "as told, so it is no failure of the gang";
  coordinator_->SendStop(1, /*kill=*/true);
  for (const int rank : {0, 1}) EXPECT_EQ(Exit(1, rank).exit_code(), 128 + 9);
  EXPECT_TRUE(WaitUntilNothingRuns());
  EXPECT_THAT(coordinator_->heard().lines, Not(Contains("0: never")));
}

TEST_F(AgentTest, TheTrainersLastWordTravelsWithItsExit) {
  Start();
  coordinator_->Assign(1, 0, "word {\"reason\":\"POOL_EMPTY\",\"message\":\"pool p\"}\nexit 12");
  const RankReport report = Exit(1);
  EXPECT_EQ(report.exit_code(), 12);
  EXPECT_EQ(report.reason(), "POOL_EMPTY");
  EXPECT_EQ(report.message(), "pool p");
}

// It ended the agent: the reason was taken for text.
TEST_F(AgentTest, ALastWordOfAnotherTypeDoesNotEndTheAgent) {
  Start();
  coordinator_->Assign(1, 0, "word {\"reason\":17}\nexit 12");
  EXPECT_EQ(Exit(1).exit_code(), 12);
  coordinator_->Assign(2, 0, "exit 0");
  EXPECT_EQ(Exit(2).exit_code(), 0);
}

// It broke the stream, again with each repetition: protobuf refuses text that is not UTF-8.
TEST_F(AgentTest, ALastLineThatIsNotTextDoesNotBreakTheStream) {
  Start();
  coordinator_->Assign(1, 0, "print bad \xff\xfe byte\nexit 1");
  const RankReport report = Exit(1);
  const std::string line = "bad \xef\xbf\xbd\xef\xbf\xbd byte";  // U+FFFD for each
  EXPECT_EQ(report.message(), "last line: " + line);
  EXPECT_TRUE(coordinator_->WaitForLine("0: " + line));
  EXPECT_EQ(coordinator_->heard().hellos.size(), 1u);
}

TEST_F(AgentTest, AnExitSaysWhatTheCoordinatorJudgesItBy) {
  Start();
  coordinator_->Assign(1, 0, "spam 100\nprint CUDA error: \xff\ndie 9");
  RankReport report = Exit(1);
  EXPECT_EQ(report.exit_code(), 128 + SIGKILL);
  ASSERT_TRUE(report.has_prompted());
  EXPECT_FALSE(report.prompted()) << "it was not this agent";
  EXPECT_FALSE(report.oom_killed());
  ASSERT_EQ(report.last_lines_size(), 40);
  EXPECT_EQ(report.last_lines(39), "CUDA error: \xef\xbf\xbd");
  EXPECT_THAT(report.last_lines(38), StartsWith("99 "));
  coordinator_->Assign(2, 0, "deaf");
  ASSERT_TRUE(coordinator_->WaitForLine("0: deaf"));
  coordinator_->SendStop(2, true);
  report = Exit(2);
  EXPECT_EQ(report.exit_code(), 128 + SIGKILL);
  EXPECT_TRUE(report.prompted());
  coordinator_->Assign(3, 0, "print well\nexit 0");
  EXPECT_EQ(Exit(3).last_lines_size(), 0);
}

TEST_F(AgentTest, AnExitSaysWhatTheKernelSaidOfItsGpuMeanwhile) {
  coordinator_ = std::make_unique<testing::FakeCoordinator>(absl::Milliseconds(20));
  AgentConfig config = Config();
  config.device_kind = "cuda";
  config.gpus = dir_ / "gpus";
  config.kernel_log = dir_ / "kmsg";
  for (const char* gpu : {"0000:3b:00.0", "0000:c1:00.0"})
    std::filesystem::create_directories(dir_ / absl::StrCat("gpus/", gpu));
  const auto say = [&](const char* gpu, int xid) {
    std::ofstream(config.kernel_log, std::ios::app)
        << "3,1289,5123456789,-;NVRM: Xid (PCI:" << gpu << "): " << xid << ", pid=1\n";
  };
  say("0000:3b:00", 48);  // before the agent
  ASSERT_OK_AND_ASSIGN(agent_, Agent::Start(config, metrics_));
  ASSERT_TRUE(coordinator_->WaitFor([](const Heard& h) { return h.open; }));
  say("0000:3b:00", 63);  // before the rank
  coordinator_->Assign(1, 0, "print up\nterm\nexit 17");
  coordinator_->Assign(1, 1, "print too\nterm\nexit 17");
  ASSERT_TRUE(coordinator_->WaitForLine("0: up"));
  ASSERT_TRUE(coordinator_->WaitForLine("1: too"));
  say("0000:c1:00", 79);
  coordinator_->SendStop(1, false);
  EXPECT_EQ(Exit(1, 0).device_fault(), "");
  EXPECT_EQ(Exit(1, 1).device_fault(), "Xid 79: GPU has fallen off the bus");
}

TEST_F(AgentTest, AnAssignmentSaidTwiceStartsOneRank) {
  Start();
  coordinator_->Assign(1, 0, "print once\nterm\nexit 0");
  coordinator_->Assign(1, 0, "print twice\nexit 0");
  ASSERT_TRUE(coordinator_->WaitForLine("0: once"));
  coordinator_->SendStop(1, false);
  EXPECT_EQ(Exit(1).exit_code(), 0);
  EXPECT_TRUE(WaitUntilNothingRuns());
  EXPECT_THAT(coordinator_->heard().lines, Not(Contains("0: twice")));
}

TEST_F(AgentTest, AnOlderAttemptIsRefused) {
  Start();
  coordinator_->Assign(5, 0, "exit 0");
  Exit(5);
  coordinator_->Assign(4, 0, "print stale\nexit 0");
  coordinator_->Assign(6, 0, "exit 0");
  Exit(6);
  EXPECT_TRUE(WaitUntilNothingRuns());
  EXPECT_EQ(Exits(4), 0);
  EXPECT_THAT(coordinator_->heard().lines, Not(Contains("0: stale")));
}

TEST_F(AgentTest, AStopIsSigtermToThatAttemptAlone) {
  Start();
  coordinator_->Assign(1, 0, "print a\nterm\nexit 10");
  coordinator_->Assign(1, 1, "print b\nterm\nexit 10");
  ASSERT_TRUE(coordinator_->WaitForLine("0: a"));
  ASSERT_TRUE(coordinator_->WaitForLine("1: b"));
  coordinator_->SendStop(77, true);
  Beats(2);
  EXPECT_EQ(Exits(1), 0);
  coordinator_->SendStop(1, false);
  EXPECT_EQ(Exit(1, 0).exit_code(), kExitPaused);
  EXPECT_EQ(Exit(1, 1).exit_code(), kExitPaused);
}

// A pause right after the assignment: libraries load for a second, and SIGTERM killed the trainer.
TEST_F(AgentTest, AStopBeforeTheTrainerIsReadyIsNotLost) {
  Start();
  coordinator_->Assign(1, 0, "term\nexit 10");
  coordinator_->SendStop(1, false);
  EXPECT_EQ(Exit(1).exit_code(), kExitPaused);
}

TEST_F(AgentTest, AStopKillsAfterItsGraceTimeWhichMayBeBelowASecond) {
  Start();
  coordinator_->Assign(1, 0, "deaf");
  ASSERT_TRUE(coordinator_->WaitForLine("0: deaf"));
  const absl::Time before = absl::Now();
  coordinator_->SendStop(1, false, absl::Milliseconds(700));
  EXPECT_EQ(Exit(1).exit_code(), 128 + SIGKILL);
  EXPECT_GE(absl::Now() - before, absl::Milliseconds(700)) << "fractions of a second were dropped";
}

TEST_F(AgentTest, AKillIsAtOnce) {
  Start();
  coordinator_->Assign(1, 0, "deaf");
  ASSERT_TRUE(coordinator_->WaitForLine("0: deaf"));
  coordinator_->SendStop(1, true);
  EXPECT_EQ(Exit(1).exit_code(), 128 + SIGKILL);
}

TEST_F(AgentTest, RanksOutliveABrokenStreamAndAreNamedInTheNextHello) {
  Start();
  coordinator_->Assign(1, 0, "print up\nterm\nexit 10");
  ASSERT_TRUE(coordinator_->WaitForLine("0: up"));
  coordinator_->HangUp();
  ASSERT_TRUE(coordinator_->WaitFor([](const Heard& h) { return h.hellos.size() == 2 && h.open; }));
  const auto hellos = coordinator_->heard().hellos;
  ASSERT_EQ(hellos[1].running_size(), 1);
  EXPECT_EQ(hellos[1].running(0).attempt_id(), 1);
  EXPECT_EQ(hellos[1].incarnation(), hellos[0].incarnation());
  coordinator_->SendStop(1, false);
  EXPECT_EQ(Exit(1).exit_code(), kExitPaused);
}

TEST_F(AgentTest, AnExitIsRepeatedOnEveryStreamUntilAHeartbeatAfterItIsAcknowledged) {
  Start();
  coordinator_->SetAcknowledging(false);
  coordinator_->Assign(1, 0, "exit 3");
  Exit(1);
  for (size_t streams = 2; streams <= 3; ++streams) {
    coordinator_->HangUp();
    ASSERT_TRUE(coordinator_->WaitFor([&](const Heard& h) {
      return h.reports.size() >= streams + 1 && h.open;
    })) << "not repeated on stream "
        << streams;
    EXPECT_EQ(coordinator_->heard().hellos.back().running_size(), 1) << "its end may be unknown";
  }
  coordinator_->SetAcknowledging(true);
  EXPECT_TRUE(WaitUntilNothingRuns());
  coordinator_->HangUp();
  ASSERT_TRUE(coordinator_->WaitFor([](const Heard& h) { return h.hellos.size() == 4 && h.open; }));
  Beats(2);
  EXPECT_EQ(coordinator_->heard().hellos.back().running_size(), 0);
  EXPECT_EQ(Exits(1), 3);
}

TEST_F(AgentTest, WhatHappensWhileTheCoordinatorIsAwayIsToldWhenItIsBack) {
  Start();
  coordinator_->Assign(1, 0, absl::StrCat("file ", Signal(), "\nprint while away\nexit 7"));
  GoAway();
  Write(Signal());
  WaitUntilNoneRuns();
  coordinator_->SetWelcoming(true);
  EXPECT_EQ(Exit(1).exit_code(), 7);
  EXPECT_THAT(coordinator_->heard().lines, ElementsAre("0: while away"))
      << "its last lines come before its end";
}

TEST_F(AgentTest, ALeaseWithoutAcknowledgementsKillsTheRanks) {
  Start(/*lease=*/absl::Milliseconds(1000));
  coordinator_->Assign(1, 0, "deaf");
  ASSERT_TRUE(coordinator_->WaitForLine("0: deaf"));
  coordinator_->SetAcknowledging(false);
  EXPECT_EQ(Exit(1).exit_code(), 128 + SIGKILL);
  EXPECT_THAT(metrics_.Render(), HasSubstr("seer_worker_up 0"));
  coordinator_->SetAcknowledging(true);
  EXPECT_TRUE(WaitUntilNothingRuns());
  coordinator_->Assign(2, 0, "exit 0");
  EXPECT_EQ(Exit(2).exit_code(), 0) << "and it goes on with what comes next";
  EXPECT_THAT(metrics_.Render(), HasSubstr("seer_worker_up 1"));
}

TEST_F(AgentTest, RanksOutliveACoordinatorThatIsAwayForMoreThanALease) {
  Start(/*lease=*/absl::Milliseconds(1000));
  coordinator_->Assign(1, 0, "print up\nterm\nexit 10");
  ASSERT_TRUE(coordinator_->WaitForLine("0: up"));
  coordinator_->Stop();
  absl::SleepFor(absl::Milliseconds(1300));  // more than a lease: nothing but time makes it pass
  coordinator_->Start();
  ASSERT_TRUE(coordinator_->WaitFor([](const Heard& h) { return h.hellos.size() == 2 && h.open; }));
  Beats(3);
  EXPECT_EQ(Exits(1), 0);
  coordinator_->SendStop(1, false);
  EXPECT_EQ(Exit(1).exit_code(), kExitPaused);
}

TEST_F(AgentTest, RanksDieWhenTheCoordinatorIsAwayForTenLeases) {
  Start(/*lease=*/absl::Milliseconds(250));
  coordinator_->Assign(1, 0, "deaf");
  ASSERT_TRUE(coordinator_->WaitForLine("0: deaf"));
  coordinator_->Stop();
  WaitUntilNoneRuns();
  coordinator_->Start();
  EXPECT_EQ(Exit(1).exit_code(), 128 + SIGKILL);
}

TEST_F(AgentTest, AShutdownLetsRanksCheckpointAndWaitsUntilTheirEndsAreKnown) {
  Start();
  coordinator_->Assign(1, 0, "print a\nterm\nprint saved\nexit 10");
  coordinator_->Assign(1, 1, "print b\nterm\nexit 10");
  ASSERT_TRUE(coordinator_->WaitForLine("0: a"));
  ASSERT_TRUE(coordinator_->WaitForLine("1: b"));
  agent_.reset();
  const Heard heard = coordinator_->heard();  // no waiting: it must be there
  EXPECT_EQ(Exits(1), 2);
  EXPECT_THAT(heard.lines, Contains("0: saved"));
  EXPECT_EQ(heard.reports.back().exit_code(), kExitPaused);
}

TEST_F(AgentTest, AShutdownKillsAndReportsWhatDoesNotEnd) {
  coordinator_ = std::make_unique<testing::FakeCoordinator>();
  AgentConfig config = Config();
  config.grace = absl::Milliseconds(200);
  ASSERT_OK_AND_ASSIGN(agent_, Agent::Start(config, metrics_));
  ASSERT_TRUE(coordinator_->WaitFor([](const Heard& h) { return h.open; }));
  coordinator_->Assign(1, 0, "deaf");
  ASSERT_TRUE(coordinator_->WaitForLine("0: deaf"));
  agent_.reset();
  EXPECT_EQ(Exits(1), 1) << "the coordinator would wait for the lease";
  EXPECT_EQ(Exit(1).exit_code(), 128 + SIGKILL);
  EXPECT_EQ(RankFiles(), 0u);
}

// A heartbeat that fell due while the link was taken down went to a link that was not there.
TEST_F(AgentTest, AShutdownInTheMiddleOfAHeartbeat) {
  Start();
  for (int i = 0; i < 30; ++i) {
    agent_.reset();
    ASSERT_OK_AND_ASSIGN(agent_, Agent::Start(Config(), metrics_));
    ASSERT_TRUE(coordinator_->WaitFor(
        [&](const Heard& h) { return h.hellos.size() == static_cast<size_t>(i) + 2 && h.open; }));
  }
}

TEST_F(AgentTest, AShutdownDoesNotWaitForACoordinatorThatIsAway) {
  Start();
  coordinator_->Stop();
  const absl::Time before = absl::Now();
  agent_.reset();
  EXPECT_LT(absl::Now() - before, absl::Seconds(15));
}

TEST_F(AgentTest, AShutdownIsBoundedThoughNothingIsAcknowledged) {
  Start();
  coordinator_->SetAcknowledging(false);
  coordinator_->Assign(1, 0, "exit 0");
  Exit(1);
  const absl::Time before = absl::Now();
  agent_.reset();
  EXPECT_LT(absl::Now() - before, absl::Seconds(15));
}

// Writing to a stream that nobody reads blocked the agent's loop: no lease, no end.
TEST_F(AgentTest, ACoordinatorThatReadsNothingBlocksNeitherTheLeaseNorTheEnd) {
  Start(/*lease=*/absl::Seconds(1));
  coordinator_->SetReading(false);
  coordinator_->Assign(1, 0, "spam 100000\ndeaf");  // 10 MB: more than the buffers below hold
  const absl::Time deadline = absl::Now() + absl::Seconds(30);
  while (!absl::StrContains(metrics_.Render(), "seer_worker_up 0") && absl::Now() < deadline)
    absl::SleepFor(absl::Milliseconds(20));
  EXPECT_THAT(metrics_.Render(), HasSubstr("seer_worker_up 0"));
  const absl::Time before = absl::Now();
  agent_.reset();
  EXPECT_LT(absl::Now() - before, absl::Seconds(15));
}

TEST_F(AgentTest, TheOldestLinesAreDroppedWhileTheCoordinatorIsAwayAndCounted) {
  Start();
  coordinator_->Assign(1, 0, absl::StrCat("file ", Signal(), "\nspam 12000\nexit 0"));
  GoAway();
  Write(Signal());
  WaitUntilNoneRuns();
  coordinator_->SetWelcoming(true);
  Exit(1);
  const Heard heard = coordinator_->heard();
  ASSERT_EQ(heard.lines.size(), 10000u);
  EXPECT_EQ(heard.lines.front().substr(0, 8), "0: 2000 ");
  EXPECT_EQ(heard.lines.back().substr(0, 8), "0: 11999");
  EXPECT_THAT(metrics_.Render(), HasSubstr("seer_worker_dropped_log_lines_total 2000"));
}

TEST_F(AgentTest, WhatCannotWorkIsRefusedAtTheStart) {
  Start();
  EXPECT_THAT(Agent::Start(Config(), metrics_),
              FailsWith(absl::StatusCode::kAlreadyExists, reason::kInvalidArgument, "another"));
  AgentConfig config = Config();
  config.devices = 0;
  EXPECT_THAT(Agent::Start(config, metrics_),
              FailsWith(absl::StatusCode::kInvalidArgument, reason::kOutOfRange, "--devices"));
  config = Config();
  config.peak_flops = -1;
  EXPECT_THAT(
      Agent::Start(config, metrics_),
      FailsWith(absl::StatusCode::kInvalidArgument, reason::kOutOfRange, "--device-peak-flops"));
  config = Config();
  config.trainer = "/no/such/trainer";
  EXPECT_THAT(Agent::Start(config, metrics_),
              FailsWith(absl::StatusCode::kNotFound, reason::kInvalidArgument, "cannot run"));
}

TEST_F(AgentTest, AnAssignmentThatCannotBeWrittenEndsTheRank) {
  Start();
  fs::remove_all(dir_ / "work/ranks");
  std::ofstream(dir_ / "work/ranks") << "in the way";
  coordinator_->Assign(1, 0, "exit 0");
  const RankReport report = Exit(1);
  EXPECT_EQ(report.exit_code(), 127);
  EXPECT_EQ(report.reason(), reason::kStorageFailed);
}

class ActivitiesTest : public AgentTest {
 protected:
  using Activity = internal::v1::RankActivities::RankActivity;
  // Asks again and again until the rank does that; gives what it was told.
  Activity Inspect(int64_t attempt_id, const std::string& doing) {
    Beats(1);  // it was welcomed
    Activity found;
    const absl::Time deadline = absl::Now() + absl::Seconds(30);
    while (found.doing() != doing && absl::Now() < deadline) {
      const size_t before = coordinator_->heard().activities.size();
      coordinator_->SendInspect(attempt_id);
      EXPECT_TRUE(coordinator_->WaitFor(
          [&](const Heard& heard) { return heard.activities.size() > before; }));
      const Heard heard = coordinator_->heard();
      if (heard.activities.size() <= before) break;
      for (const Activity& activity : heard.activities.back().ranks()) found = activity;
    }
    EXPECT_EQ(found.doing(), doing);
    return found;
  }
};

TEST_F(ActivitiesTest, AnInspectionTellsWhatTheAttemptsRanksDo) {
  Start();
  coordinator_->Assign(1, 0, "flight 7\nfile " + Signal() + "\nexit 0");
  coordinator_->Assign(2, 1, "file " + Signal() + "\nexit 0");
  const Activity activity = Inspect(1, "collective");
  EXPECT_EQ(coordinator_->heard().activities.back().ranks_size(), 1) << "of that attempt alone";
  EXPECT_EQ(activity.attempt_id(), 1);
  EXPECT_EQ(activity.job(), "jobs/a");
  EXPECT_EQ(activity.rank(), 0);
  EXPECT_EQ(activity.step(), 7);
  EXPECT_EQ(activity.detail(), "all-reduce 2 of world");
  EXPECT_EQ(activity.process_state(), "S");
  EXPECT_GT(activity.seconds(), 0);
  ASSERT_EQ(activity.groups_size(), 1);
  EXPECT_EQ(activity.groups(0).name(), "world");
  EXPECT_EQ(activity.groups(0).entered(), 2);
  EXPECT_EQ(activity.groups(0).completed(), 1);
  EXPECT_EQ(activity.groups(0).operation(), "all-reduce");
  EXPECT_EQ(activity.groups(0).bytes(), 64);
  EXPECT_EQ(activity.groups(0).ranks(), 2);
  Write(Signal());
  Exit(1);
  EXPECT_TRUE(WaitUntilNothingRuns());
  EXPECT_EQ(RankFiles(), 0u);
}

TEST_F(ActivitiesTest, ARankThatIsStoppedIsSeenToBe) {
  Start();
  coordinator_->Assign(1, 0, "flight 7\ndie 19\nexit 0");
  const Activity activity = Inspect(1, "stopped");
  EXPECT_EQ(activity.process_state(), "T");
  EXPECT_EQ(activity.detail(), "in collective (all-reduce 2 of world)");
  coordinator_->SendStop(1, /*kill=*/true);
  EXPECT_EQ(Exit(1).exit_code(), 128 + 9);
  const Heard heard = coordinator_->heard();
  EXPECT_THAT(heard.lines,
              Contains(AllOf(StartsWith("0: flight recorder: step 7, collective (all-reduce 2 of "
                                        "world) for "),
                             HasSubstr("entered all-reduce 2 of world"))))
      << "what it did last is among its lines";
}

TEST_F(ActivitiesTest, WhatRanksDoIsToldOnceAPeriod) {
  coordinator_ = std::make_unique<testing::FakeCoordinator>(absl::Milliseconds(20));
  coordinator_->SetActivityPeriod(absl::Milliseconds(20));
  ASSERT_OK_AND_ASSIGN(agent_, Agent::Start(Config(), metrics_));
  EXPECT_TRUE(coordinator_->WaitFor([](const Heard& h) { return h.open; }));
  coordinator_->Assign(1, 0, "flight 3\nfile " + Signal() + "\nexit 0");
  EXPECT_TRUE(coordinator_->WaitFor([](const Heard& heard) {
    return heard.activities.size() > 2 && heard.activities.back().ranks_size() == 1 &&
           heard.activities.back().ranks(0).step() == 3;
  }));
  Write(Signal());
  Exit(1);
}

TEST_F(ActivitiesTest, ARankWithoutAFlightRecorderHasNothingToSay) {
  Start();
  coordinator_->Assign(1, 0, "print begun\nfile " + Signal() + "\nexit 0");
  ASSERT_TRUE(coordinator_->WaitForLine("0: begun"));
  Beats(1);
  coordinator_->SendInspect(1);
  ASSERT_TRUE(coordinator_->WaitFor([](const Heard& heard) { return !heard.activities.empty(); }))
      << "it is answered all the same";
  EXPECT_EQ(coordinator_->heard().activities.back().ranks_size(), 0);
  Write(Signal());
  Exit(1);
}

}  // namespace
}  // namespace seer::worker
