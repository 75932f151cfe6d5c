// seer job profile against real processes: what the file says, and how it is refused.
#include <gtest/gtest.h>
#include <signal.h>

#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "tests/e2e/cluster.h"
#include "tests/e2e/terminal.h"

namespace seer::e2e {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

class ProfileTest : public ClusterTest {
 protected:
  // Runs until it is cancelled.
  static std::string Endless(const std::string& options) {
    const std::string job =
        cluster().Submit("--set optim.steps=1000000 --set checkpoint.everySteps=3 " + options);
    WaitFor([&] { return cluster().Step(job) >= 2; });
    return job;
  }
  static void Cancel(const std::string& job) {
    EXPECT_EQ(cluster().Seer("job cancel --yes " + job).code, 0);
  }
  // Stops the only rank of the job where it is; returns its process.
  static int Freeze(const std::string& job) {
    std::string worker = cluster().Describe(job)["ranks"][0]["worker"];
    const int trainer = Cluster::TrainerOf(cluster().Pid(worker.substr(worker.find('/') + 1)));
    EXPECT_GT(trainer, 0);
    ::kill(trainer, SIGSTOP);
    return trainer;
  }
  static std::vector<std::string> Words(const std::string& job, const std::string& file) {
    return {(Bin() / "seer").string(), "job", "profile", job, "--file", file};
  }
  static void ExpectNoFile(const std::string& name) {
    for (const auto& entry : fs::directory_iterator(cluster().home()))
      EXPECT_FALSE(absl::StrContains(entry.path().filename().string(), name)) << entry.path();
  }
  static std::string File(const std::string& name) { return (cluster().home() / name).string(); }
};

struct Spans {
  std::vector<json> all;

  explicit Spans(const json& trace) {
    for (const json& event : trace["traceEvents"])
      if (event["ph"] == "X") all.push_back(event);
  }
  std::vector<json> Of(int rank, const std::string& category, const std::string& name = "") const {
    std::vector<json> spans;
    for (const json& span : all)
      if (span["pid"] == rank && span["cat"] == category && (name.empty() || span["name"] == name))
        spans.push_back(span);
    return spans;
  }
};

double End(const json& span) { return span["ts"].get<double>() + span["dur"].get<double>(); }

TEST_F(ProfileTest, ShowsAllRanksOfARunningJobSideBySide) {
  const std::string job = Endless("--name traced --set memory.recompute=all");
  const std::string file = File("trace.json");
  const Result profiled =
      cluster().Seer(absl::StrCat("job profile ", job, " --steps 4 --file ", file));
  ASSERT_EQ(profiled.code, 0) << profiled.out;
  EXPECT_TRUE(absl::StrContains(profiled.out, "ui.perfetto.dev")) << profiled.out;
  const json trace = json::parse(ReadAll(file));
  EXPECT_EQ(trace["otherData"]["steps"], 4);
  const int64_t first = trace["otherData"]["first_step"];
  const Spans spans(trace);
  for (const int rank : {0, 1}) {
    SCOPED_TRACE(rank);
    std::set<int64_t> steps;
    for (const json& span : spans.Of(rank, "step"))
      steps.insert(span["args"]["step"].get<int64_t>());
    EXPECT_EQ(steps, (std::set<int64_t>{first, first + 1, first + 2, first + 3}));
    for (const char* category :
         {"data", "forward", "recompute", "backward", "loss", "communication", "wait"})
      EXPECT_GE(spans.Of(rank, category).size(), 4u) << category;
    for (const char* phase : {"copy", "augment", "forward", "loss", "backward", "optimizer"})
      EXPECT_EQ(spans.Of(rank, "phase", phase).size(), 4u) << phase;
    EXPECT_EQ(spans.Of(rank, "data", "wait for data").size(), 4u);
    EXPECT_EQ(spans.Of(rank, "forward", "forward trunk_output.block1.block1-0").size(), 4u);
    EXPECT_EQ(spans.Of(rank, "backward", "backward trunk_output.block1.block1-0").size(), 4u);
    EXPECT_GE(spans.Of(rank, "checkpoint", "snapshot").size(), 1u);
    const auto collectives = spans.Of(rank, "communication", "all-reduce");
    EXPECT_GE(collectives.size(), 4u);
    for (const json& span : collectives) {
      EXPECT_GT(span["args"]["bytes"], 0);
      EXPECT_GE(span["dur"], 0.0);
      EXPECT_GE(span["tid"], 10);
    }
  }
  // One clock: a step of a rank lies over that of the other.
  const auto zero = spans.Of(0, "step"), one = spans.Of(1, "step");
  ASSERT_EQ(zero.size(), one.size());
  for (size_t i = 0; i < zero.size(); ++i) {
    EXPECT_LT(zero[i]["ts"].get<double>(), End(one[i]));
    EXPECT_LT(one[i]["ts"].get<double>(), End(zero[i]));
  }

  const std::string before = ReadAll(file);
  const Result again = cluster().Seer(absl::StrCat("job profile ", job, " --file ", file));
  EXPECT_EQ(again.code, 6) << again.out;
  EXPECT_TRUE(absl::StrContains(again.out, "--force")) << again.out;
  EXPECT_EQ(ReadAll(file), before);
  const Result forced =
      cluster().Seer(absl::StrCat("job profile ", job, " --steps 1 --force --file ", file));
  EXPECT_EQ(forced.code, 0) << forced.out;
  EXPECT_EQ(json::parse(ReadAll(file))["otherData"]["steps"], 1);
  Cancel(job);
}

TEST_F(ProfileTest, WhatCannotBeRecordedWritesNothing) {
  const std::string job = Endless("--name unprofiled --set distributed.ranks=1");
  const std::string file = File("nothing.json");
  const std::string profile = absl::StrCat("job profile ", job, " --file ", file);
  EXPECT_EQ(cluster().Seer(profile + " --steps 0").code, 2);
  EXPECT_EQ(cluster().Seer(profile + " --steps 51").code, 2);
  EXPECT_EQ(cluster().Seer(absl::StrCat("job profile ", job, " --file ", File("no/f.json"))).code,
            2);
  EXPECT_EQ(cluster().Seer("job profile nobody --file " + file).code, 1);

  Freeze(job);
  Terminal waiting(Words(job, file), cluster().environment());
  ASSERT_TRUE(waiting.Expect("waiting for 1 rank")) << waiting.text();
  const Result second = cluster().Seer(profile);
  EXPECT_EQ(second.code, 1) << second.out;
  EXPECT_TRUE(absl::StrContains(second.out, "has not ended")) << second.out;
  Cancel(job);
  EXPECT_EQ(waiting.Wait(), 1) << waiting.text();
  EXPECT_TRUE(absl::StrContains(waiting.text(), "ended before its ranks")) << waiting.text();

  WaitFor([&] { return cluster().State(job) == "JOB_STATE_CANCELLED"; });
  const Result ended = cluster().Seer(profile);
  EXPECT_EQ(ended.code, 1) << ended.out;
  EXPECT_TRUE(absl::StrContains(ended.out, "is CANCELLED")) << ended.out;
  ExpectNoFile("nothing");
}

TEST_F(ProfileTest, CtrlCWritesNothingAndTheJobGoesOn) {
  const std::string job = Endless("--name unwatched --set distributed.ranks=1");
  const int trainer = Freeze(job);
  Terminal waiting(Words(job, File("half.json")), cluster().environment());
  ASSERT_TRUE(waiting.Expect("waiting for 1 rank")) << waiting.text();
  waiting.CtrlC();
  EXPECT_EQ(waiting.Wait(), 3) << waiting.text();
  EXPECT_TRUE(absl::StrContains(waiting.text(), "was not written")) << waiting.text();
  ExpectNoFile("half");
  ::kill(trainer, SIGCONT);
  const int64_t step = cluster().Step(job);
  WaitFor([&] { return cluster().Step(job) > step; });
  Cancel(job);
}

}  // namespace
}  // namespace seer::e2e
