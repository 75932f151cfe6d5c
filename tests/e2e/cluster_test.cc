// One cluster, four agents and two data service replicas: training, faults, checkpoints,
// evaluation.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <random>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "tests/e2e/cluster.h"

namespace seer::e2e {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

TEST_F(ClusterTest, TheSameSpecGivesTheSameBitsPausedOrNot) {
  const std::string options =
      "--set optim.steps=40 --set checkpoint.everySteps=15 --set data.recordIds=true";
  const std::string a = cluster().Submit(options + " --name same-a"),
                    b = cluster().Submit(options + " --name same-b");
  ASSERT_EQ(cluster().Wait(a).code, 0);
  ASSERT_EQ(cluster().Wait(b).code, 0);
  const std::string c = cluster().Submit(options + " --name same-c");
  WaitFor([&] { return cluster().Step(c) >= 3; });
  const Result paused = cluster().Seer("job pause " + c);
  ASSERT_EQ(paused.code, 0) << paused.out;
  WaitFor([&] {
    return cluster().Describe(c)["state"] != "JOB_STATE_PAUSING" &&
           cluster().Describe(c)["state"] != "JOB_STATE_RUNNING";
  });
  EXPECT_EQ(cluster().Describe(c)["state"], "JOB_STATE_PAUSED");
  ASSERT_EQ(cluster().Seer("job resume " + c).code, 0);
  ASSERT_EQ(cluster().Wait(c).code, 0) << cluster().Seer("job events " + c).out;
  EXPECT_FALSE(cluster().Weights(a).empty());
  EXPECT_EQ(cluster().Weights(a), cluster().Weights(b));
  EXPECT_EQ(cluster().Weights(a), cluster().Weights(c));
  EXPECT_EQ(cluster().ConsumedIds(a), cluster().ConsumedIds(c));
}

TEST_F(ClusterTest, TheBitsAreTheSameHoweverBatchesCome) {
  std::vector<std::string> jobs;
  for (const char* transport : {"auto", "grpc", "in_trainer"}) {
    jobs.push_back(cluster().Submit(absl::StrCat(
        "--set optim.steps=10 --set data.recordIds=true --set data.transport=", transport,
        " --name way-", jobs.size())));
    ASSERT_EQ(cluster().Wait(jobs.back()).code, 0)
        << cluster().Seer("job events " + jobs.back()).out;
    EXPECT_EQ(cluster().ConsumedIds(jobs.back()).size(), 10);
    EXPECT_EQ(cluster().ConsumedIds(jobs.back()), cluster().ConsumedIds(jobs[0])) << transport;
    EXPECT_EQ(cluster().Weights(jobs.back()), cluster().Weights(jobs[0])) << transport;
  }
}

TEST_F(ClusterTest, EveryWorldSizeConsumesTheSameGlobalBatches) {
  std::map<int, std::string> jobs;
  for (const int ranks : {1, 2, 4}) {
    jobs[ranks] = cluster().Submit(absl::StrCat(
        "--set optim.steps=10 --set data.recordIds=true --set distributed.ranks=", ranks,
        " --name world-", ranks));
    ASSERT_EQ(cluster().Wait(jobs[ranks]).code, 0)
        << cluster().Seer("job events " + jobs[ranks]).out;
  }
  EXPECT_EQ(cluster().ConsumedIds(jobs[1]).size(), 10);
  EXPECT_EQ(cluster().ConsumedIds(jobs[1]), cluster().ConsumedIds(jobs[2]));
  EXPECT_EQ(cluster().ConsumedIds(jobs[1]), cluster().ConsumedIds(jobs[4]));
}

// Three agents for a job of two ranks: one to spare.
TEST(Fire, TheJobSucceedsWithTheSameBatches) {
  constexpr char kOptions[] = "--workers 3 --dataservices 2";
  constexpr unsigned kSeed = 20210302;
  const Cluster cluster;
  const Result up = cluster.Up(kOptions);
  ASSERT_EQ(up.code, 0) << up.out;
  cluster.AddDigits();
  const std::string options =
      "--set optim.steps=150 --set checkpoint.everySteps=10 --set data.recordIds=true";
  const std::string calm = cluster.Submit(options + " --name calm");
  ASSERT_EQ(cluster.Wait(calm).code, 0);
  const std::string job = cluster.Submit(options + " --name fire");
  std::vector<std::string> victims = {"trainer", "agent", "dataservice", "coordinator"};
  std::shuffle(victims.begin(), victims.end(), std::mt19937(kSeed));
  ::testing::Test::RecordProperty("seed", static_cast<int>(kSeed));
  int64_t step = 0;
  for (const std::string& victim : victims) {
    WaitFor([&] { return cluster.Step(job) > step + 5; });
    step = cluster.Step(job);
    ASSERT_LT(step, 145) << "the job was too fast for " << victim;
    const json ranks = cluster.Describe(job)["ranks"];
    ASSERT_FALSE(ranks.empty());
    std::string worker = ranks[0]["worker"];
    worker = worker.substr(worker.find('/') + 1);
    SCOPED_TRACE(absl::StrCat("kill ", victim, " at step ", step));
    if (victim == "trainer") KillNow(Cluster::TrainerOf(cluster.Pid(worker)));
    if (victim == "agent") KillNow(cluster.Pid(worker));
    if (victim == "dataservice") KillNow(cluster.Pid("dataservice-0"));
    if (victim == "coordinator") {
      KillNow(cluster.Pid("coordinator"));
      const Result again = cluster.Up(kOptions);
      ASSERT_EQ(again.code, 0) << again.out;
    }
    step = 0;
    WaitFor([&] { return (step = cluster.Step(job)) > 0; });
  }
  ASSERT_EQ(cluster.Wait(job, 400).code, 0) << cluster.Seer("job events " + job).out;
  const auto expected = cluster.ConsumedIds(calm);
  EXPECT_EQ(expected.size(), 150);
  EXPECT_EQ(expected, cluster.ConsumedIds(job));
  EXPECT_EQ(cluster.Weights(job), cluster.Weights(calm));
}

TEST_F(ClusterTest, ACorruptedCheckpointIsLeftForTheOneBeforeIt) {
  const std::string options = "--set optim.steps=60 --set checkpoint.everySteps=10";
  const std::string sound = cluster().Submit(options + " --name sound");
  ASSERT_EQ(cluster().Wait(sound).code, 0);
  const std::string job = cluster().Submit(options + " --name bitrot");
  WaitFor([&] { return cluster().Step(job) >= 15; });
  ASSERT_EQ(cluster().Seer("job pause " + job).code, 0);
  WaitFor([&] { return cluster().State(job) == "JOB_STATE_PAUSED"; });
  const json newest = cluster().Json("checkpoint list " + job)[0];
  const fs::path folder = newest["uri"].get<std::string>().substr(std::string("file://").size());
  fs::resize_file(folder / "rank-0.safetensors", 100);
  ASSERT_EQ(cluster().Seer("job resume " + job).code, 0);
  const Result waited = cluster().Wait(job);
  const std::string events = cluster().Seer("job events " + job).out;
  EXPECT_EQ(waited.code, 0) << events;
  EXPECT_TRUE(absl::StrContains(events, "checkpoint_corrupt")) << events;
  EXPECT_EQ(cluster().Weights(job), cluster().Weights(sound));
}

TEST_F(ClusterTest, CheckpointsArePrunedWhileTheirJobTrains) {
  const std::string job = cluster().Submit(
      "--set optim.steps=100000 --set checkpoint.everySteps=10 --set checkpoint.keepLast=1000 "
      "--name pruned");
  const auto list = [&] { return cluster().Json("checkpoint list " + job); };
  WaitFor([&] { return list().size() >= 4; });
  const fs::path files = cluster().home() / "storage" / job / "checkpoints";
  const Result planned = cluster().Seer("checkpoint prune " + job + " --keep-last 1 --dry-run");
  EXPECT_EQ(planned.code, 0) << planned.out;
  EXPECT_TRUE(fs::exists(files / "10")) << "nothing is deleted by a dry run";
  const Result pinned =
      cluster().Seer(absl::StrCat("checkpoint pin ", job, "/20 --reason 'for the paper'"));
  EXPECT_EQ(pinned.code, 0) << pinned.out;
  const Result pruned = cluster().Seer("checkpoint prune " + job + " --keep-last 1 --yes");
  EXPECT_EQ(pruned.code, 0) << pruned.out;
  WaitFor([&] { return !fs::exists(files / "10") && !fs::exists(files / "30"); });
  EXPECT_TRUE(fs::exists(files / "20"));
  EXPECT_EQ(cluster().Seer(absl::StrCat("checkpoint verify ", job, "/20")).code, 0);

  // A kill right after: it goes on from the newest of those that are left.
  const int64_t step = cluster().Step(job);
  const json placed = cluster().Describe(job)["ranks"][0];
  const std::string worker = placed["worker"].get<std::string>().substr(strlen("workers/"));
  KillNow(Cluster::TrainerOf(cluster().Pid(worker)));
  WaitFor([&] {
    return cluster().Describe(job).value("attempt", 0) >= 2 && cluster().Step(job) > step;
  });
  EXPECT_EQ(cluster().Seer("job cancel --yes " + job).code, 0);
}

TEST_F(ClusterTest, ACorruptedCheckpointIsFoundAndNamed) {
  const std::string job = cluster().Submit("--name corrupted --set failure.maxRestarts=1");
  ASSERT_EQ(cluster().Wait(job).code, 0);
  EXPECT_EQ(cluster().Seer("checkpoint verify " + job + "/20").code, 0);
  const fs::path weights = cluster().home() / "weights.safetensors";
  const std::string exporting = "checkpoint export " + job + "/20 --names timm --file ";
  EXPECT_EQ(cluster().Seer(exporting + weights.string()).code, 0);
  EXPECT_GT(fs::file_size(weights), 50'000u);
  EXPECT_EQ(cluster().Seer(exporting + weights.string()).code, 6) << "it is there already";
  EXPECT_EQ(cluster().Seer(exporting + weights.string() + " --force").code, 0);
  const fs::path file = cluster().home() / "storage" / job / "checkpoints/20/rank-1.safetensors";
  ASSERT_TRUE(fs::exists(file));
  ASSERT_TRUE(fs::exists(file.parent_path() / "COMMITTED"));
  std::fstream bytes(file, std::ios::in | std::ios::out | std::ios::binary);
  bytes.seekp(static_cast<std::streamoff>(fs::file_size(file)) - 9);
  bytes.write("x", 1);
  bytes.close();
  const Result verified = cluster().Seer("checkpoint verify " + job + "/20");
  const Result exported = cluster().Seer(exporting + weights.string() + " --force");
  EXPECT_EQ(exported.code, 1);
  EXPECT_TRUE(absl::StrContains(exported.out, "rank-1.safetensors")) << exported.out;
  EXPECT_EQ(verified.code, 1);
  EXPECT_TRUE(absl::StrContains(verified.out, "rank-1.safetensors")) << verified.out;
  const Result evaluated =
      cluster().Seer("eval knn " + job + " --train-pool digits --test-pool digits");
  EXPECT_EQ(evaluated.code, 100) << evaluated.out;
  EXPECT_TRUE(absl::StrContains(evaluated.out, "rank-1.safetensors")) << evaluated.out;
}

TEST_F(ClusterTest, KnnOfRandomAndTrainedTrunks) {
  const std::string job = cluster().Submit("--name evaluated");
  ASSERT_EQ(cluster().Wait(job).code, 0);
  for (const char* options : {"", " --random"}) {
    const Result result = cluster().Seer(absl::StrCat(
        "eval knn ", job, " --train-pool digits --test-pool digits -o json 2>/dev/null", options));
    ASSERT_EQ(result.code, 0) << result.out;
    const json evaluation = json::parse(result.out, nullptr, false);
    ASSERT_TRUE(evaluation.is_object()) << result.out;
    EXPECT_EQ(evaluation["evalResult"]["trainImages"], "200");
    // The held-out images are among those that vote, so the nearest neighbour is right.
    EXPECT_GT(evaluation["evalResult"]["knn"][0]["top1Ratio"].get<double>(), 0.25);
  }
}

}  // namespace
}  // namespace seer::e2e
