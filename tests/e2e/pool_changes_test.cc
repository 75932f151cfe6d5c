// A pool that grows and loses an image under a job that follows it, on two ranks and two replicas,
// with a rank killed in between: what was read when is what order and record say.
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <iostream>
#include <map>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/base/digest.h"
#include "tests/e2e/cluster.h"
#include "tests/support/image_files.h"

namespace seer::e2e {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using Exposure = std::pair<int64_t, std::string>;  // step, image

constexpr char kOrder[] = "--seed 7 --global-batch 16";

class PoolChangesTest : public ::testing::Test {
 protected:
  std::vector<std::string> Order(int64_t generation, int64_t step) const {
    const Result order = cluster_.Seer(absl::StrCat("pool order digits --generation ", generation,
                                                    " --step ", step, " ", kOrder, " -o name"));
    EXPECT_EQ(order.code, 0) << order.out;
    return absl::StrSplit(order.out, '\n', absl::SkipEmpty());
  }
  size_t PlanSize() const { return cluster_.Describe(job_)["dataPlan"].size(); }
  // Waits until the job reads generation `number`, its plan's newest; the step it begins at.
  int64_t FirstStepOf(size_t number) const {
    WaitFor([&] { return PlanSize() == number; });
    const json plan = cluster_.Describe(job_)["dataPlan"];
    if (plan.size() != number) return -1;
    const json& entry = plan[number - 1];
    EXPECT_EQ(entry["generation"], std::to_string(number)) << plan;
    const int64_t first = std::stoll(entry["firstStep"].get<std::string>());
    WaitFor([&] { return cluster_.Step(job_) > first + 5; });
    return first;
  }

  const Cluster cluster_;
  std::string job_;
};

TEST_F(PoolChangesTest, UnderAJobThatFollowsThePool) {
  const Result up = cluster_.Up("--workers 2 --dataservices 2");
  ASSERT_EQ(up.code, 0) << up.out;
  cluster_.AddDigits();
  job_ = cluster_.Submit(
      "--name follower --set data.followPool=true --set data.recordIds=true --set seed=7 --set "
      "checkpoint.everySteps=50 --set checkpoint.keepLast=10000 --set optim.steps=1000000");
  ASSERT_FALSE(job_.empty());
  WaitFor([&] { return cluster_.Step(job_) > 5; });

  // A refresh brings more images: the next generation, at a step that is recorded.
  testing::WriteLabelledFolder(cluster_.root() / "more", 4, 60, 20);
  const Result more = cluster_.Seer(absl::StrCat(
      "pool refresh digits ", (cluster_.root() / "more").string(), " --labels-from-folders"));
  ASSERT_EQ(more.code, 0) << more.out;
  const int64_t second = FirstStepOf(2);

  // A rank is killed: the next attempt reads on by the plan that was recorded.
  const int64_t killed_at = cluster_.Step(job_);
  std::string worker = cluster_.Describe(job_)["ranks"][0]["worker"];
  KillNow(Cluster::TrainerOf(cluster_.Pid(worker.substr(worker.find('/') + 1))));
  WaitFor([&] { return cluster_.Describe(job_)["attempt"] == 2; });

  // The images of a step that is done and of one to come are taken down.
  // Beyond what the attempt before may have reported last.
  WaitFor([&] { return cluster_.Step(job_) > killed_at + 50; });
  std::set<std::string> gone;
  for (const int64_t step : {second + 2, cluster_.Step(job_) + 25})
    for (const std::string& id : Order(2, step)) gone.insert(id);
  std::ofstream(cluster_.root() / "ids.txt") << absl::StrJoin(gone, "\n") << "\n";
  const Result taken =
      cluster_.Seer(absl::StrCat("pool takedown digits --reason 'request 4711' --yes --ids ",
                                 (cluster_.root() / "ids.txt").string()));
  ASSERT_EQ(taken.code, 0) << taken.out;
  const int64_t third = FirstStepOf(3);
  ASSERT_EQ(cluster_.Seer("job pause " + job_).code, 0);
  WaitFor([&] { return cluster_.State(job_) == "JOB_STATE_PAUSED"; });
  const std::string events = cluster_.Seer("job events " + job_).out;
  EXPECT_TRUE(absl::StrContains(
      events, absl::StrCat("generation 2 of pool digits from step ", second, " on")))
      << events;
  EXPECT_TRUE(absl::StrContains(
      events, absl::StrCat("generation 3 of pool digits from step ", third, " on")))
      << events;

  // The proof is computed from order and record alone, and names all that had shown it.
  const json proof = cluster_.Json("pool takedown-status digits " + *gone.begin());
  ASSERT_TRUE(proof.contains("finishTime")) << proof;
  std::set<Exposure> told;
  std::map<std::string, std::set<std::string>> checkpoints;  // by image
  for (const auto& exposure : proof["exposures"]) {
    EXPECT_EQ(exposure["job"], "jobs/" + job_);
    const std::string image = exposure["imageId"];
    for (const auto& step : exposure["steps"])
      told.emplace(std::stoll(step.get<std::string>()), image);
    for (const auto& checkpoint : exposure["checkpoints"]) checkpoints[image].insert(checkpoint);
  }
  std::set<int64_t> told_steps;
  for (const auto& [step, image] : told) told_steps.insert(step);

  // Every step had the images of its generation's order; those of what was taken down went to
  // substitutes.
  const auto consumed = cluster_.ConsumedIds(job_);
  ASSERT_EQ(consumed.size(), cluster_.Step(job_));
  std::set<Exposure> shown, substituted;
  for (const auto& [step, ids] : consumed) {
    for (const std::string& id : ids)
      if (gone.contains(id)) shown.emplace(step, id);
    const bool near = std::min({std::abs(step - second), std::abs(step - third), step}) < 5;
    if (!near && step % 25 != 0 && !told_steps.contains(step)) continue;
    const std::vector<std::string> order = Order(step < second ? 1 : step < third ? 2 : 3, step);
    ASSERT_EQ(order.size(), ids.size());
    for (size_t i = 0; i < ids.size(); ++i) {
      if (ids[i] == order[i]) continue;
      EXPECT_TRUE(gone.contains(order[i])) << "step " << step << ": " << i;
      substituted.emplace(step, order[i]);
    }
  }
  // Shown before, substituted after, gone with the generation that does not have them.
  ASSERT_FALSE(shown.empty());
  EXPECT_LT(shown.rbegin()->first, third);
  if (!substituted.empty()) {
    EXPECT_LE(shown.rbegin()->first, substituted.begin()->first);
    EXPECT_LT(substituted.rbegin()->first, third);
  }
  std::set<Exposure> expected = shown;
  expected.insert(substituted.begin(), substituted.end());
  EXPECT_EQ(told, expected);
  for (const auto& checkpoint : cluster_.Json("checkpoint list " + job_)) {
    const int64_t step = std::stoll(checkpoint["step"].get<std::string>());
    for (const std::string& image : gone) {
      const bool saw = std::any_of(told.begin(), told.end(), [&](const Exposure& exposure) {
        return exposure.second == image && exposure.first < step;
      });
      EXPECT_EQ(checkpoints[image].contains(checkpoint["name"]), saw) << image << " " << checkpoint;
    }
  }
  std::cout << "generation 2 from step " << second << ", 3 from step " << third << "; "
            << shown.size() << " times shown, " << substituted.size() << " times substituted\n"
            << cluster_.Seer("pool takedown-status digits " + *gone.begin()).out;
}

// A data service of its own that dies with SIGKILL at `failpoint`, or never, if that is empty.
class KilledService {
 public:
  KilledService(const fs::path& pools, const std::string& failpoint) {
    const fs::path ports = pools.parent_path() / "ports";
    fs::remove(ports);
    const std::string fail = failpoint.empty() ? "" : "SEER_FAILPOINTS=" + failpoint + "=kill ";
    const Result started = Shell(absl::StrCat(
        fail, (Bin() / "seer-dataservice").string(), " --pools ", pools.string(),
        " --listen 127.0.0.1:0 --port-file ", ports.string(), " >/dev/null 2>&1 & echo $!"));
    pid_ = std::stoi(started.out);
    WaitFor([&] { return fs::exists(ports) && !ReadAll(ports).empty(); });
    address_ = absl::StrCat("127.0.0.1:", std::stoi(ReadAll(ports)));
  }
  ~KilledService() {
    if (Runs(pid_)) KillNow(pid_);
  }
  Result Seer(const std::string& arguments) const {
    return Shell(absl::StrCat((Bin() / "seer").string(), " ", arguments, " --dataservice ",
                              address_, " 2>&1"));
  }
  bool runs() const { return Runs(pid_); }

 private:
  int pid_ = 0;
  std::string address_;
};

TEST(TakedownTest, KilledAnywhereItIsCompletedByTheSameCommand) {
  for (const std::string failpoint :
       {"takedown.after_record", "takedown.after_mapping", "takedown.after_delete",
        "takedown.after_shards", "pool.before_manifest", "pool.before_current",
        "takedown.after_commit"}) {
    SCOPED_TRACE(failpoint);
    const testing::TempDir dir;
    const fs::path pools = dir / "pools";
    testing::WriteLabelledFolder(dir / "images", 2, 20, 16);
    const std::string image = testing::ReadFile(dir / "images/0/1003.png");
    ASSERT_FALSE(image.empty());
    std::ofstream(dir / "ids.txt") << Sha256Hex(image) << "\n";
    const std::string takedown =
        absl::StrCat("pool takedown p --ids ", dir / "ids.txt", " --reason asked --yes");
    {
      const KilledService sound(pools, "");
      ASSERT_EQ(sound.Seer("pool create p").code, 0);
      ASSERT_EQ(sound.Seer("pool ingest p " + (dir / "images")).code, 0);
    }
    {
      const KilledService dies(pools, failpoint);
      const Result result = dies.Seer(takedown);
      EXPECT_NE(result.code, 0) << result.out;
      WaitFor([&] { return !dies.runs(); });
    }
    const KilledService sound(pools, "");
    const Result again = sound.Seer(takedown);
    ASSERT_EQ(again.code, 0) << again.out;
    for (const auto& file : fs::recursive_directory_iterator(pools)) {
      if (file.is_regular_file())
        EXPECT_FALSE(absl::StrContains(ReadAll(file.path()), image)) << file.path();
    }
    const Result status = sound.Seer("pool takedown-status p -o json");
    EXPECT_TRUE(absl::StrContains(status.out, "finishTime")) << status.out;
    const Result order = sound.Seer("pool order p --step 0 --global-batch 39 -o name");
    EXPECT_FALSE(absl::StrContains(order.out, Sha256Hex(image)));
    EXPECT_EQ(std::set<std::string>(absl::StrSplit(order.out, '\n', absl::SkipEmpty())).size(), 39u)
        << order.out;
    const Result verified = sound.Seer("pool verify p");
    EXPECT_EQ(verified.code, 0) << verified.out;
  }
}

}  // namespace
}  // namespace seer::e2e
