// Jobs that use most of what the large recipes do, at a size that a test can run.
#include <gtest/gtest.h>

#include <fstream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "tests/e2e/cluster.h"

namespace seer::e2e {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

class RecipeTest : public ClusterTest {
 protected:
  // Submits recipes/seer-10b.yaml with a trunk of its shape (depth and growth of the widths; groups
  // and stem of a hundredth) and everything else but the sizes as it is.
  std::string SubmitSmallTenBillion(const std::string& name, const std::string& distributed,
                                    const std::string& memory) const {
    const fs::path file = cluster().root() / (name + ".yaml");
    std::ofstream(file) << "extends: recipes/seer-10b\nmetadata: {name: " << name << "}\n"
                        << R"(model:
  trunk: {preset: "", regnet: {depth: 27, w_0: 16, w_a: 5.7, w_m: 2.52, groupWidth: 8, seRatio: 0.25}, stemStride: 1}
  head: {hidden: [32, 32], outputDim: 16}
loss: {swav: {prototypes: 20, freezePrototypesSteps: 2}}
augment:
  crops:
    - {views: 2, size: 32, minScale: 0.14, maxScale: 1.0}
    - {views: 4, size: 16, minScale: 0.05, maxScale: 0.14}
data: {pool: digits, globalBatch: 16, recordIds: true}
optim: {steps: 8, lr: 0.1, warmupSteps: 2, startLr: 0.01, finalLr: 0.001, accumulationSteps: 2}
checkpoint: {everySteps: 4, keepLast: 2}
)"
                        << "distributed: {ranks: 4, syncBnGroupSize: 2" << distributed
                        << "}\nmemory: {recompute: all" << memory << "}\n";
    const Result result = cluster().Seer(absl::StrCat("job submit ", file.string(), " -o name"));
    EXPECT_EQ(result.code, 0) << result.out;
    const size_t at = result.out.find("job_");
    return at == std::string::npos ? "" : result.out.substr(at, 12);
  }
  static double Loss(const std::string& job) {
    return cluster().Describe(job)["progress"]["loss"].get<double>();
  }
};

TEST_F(RecipeTest, ATrunkOfTheTenBillionShapeTrainsShardedAndOffloaded) {
  const std::string sharded = SubmitSmallTenBillion("small-10b", ", shardGroupSize: 2",
                                                    ", offloadOptimizer: true"),
                    whole = SubmitSmallTenBillion("small-10b-whole", ", shardGroupSize: 1",
                                                  ", offloadOptimizer: false");
  for (const std::string& job : {sharded, whole}) {
    const Result waited = cluster().Wait(job);
    ASSERT_EQ(waited.code, 0) << waited.out << cluster().Seer("job events " + job).out;
  }
  EXPECT_EQ(cluster().ConsumedIds(sharded), cluster().ConsumedIds(whole));
  EXPECT_NEAR(Loss(sharded), Loss(whole), 0.02 * Loss(whole));  // bf16 over eight steps
  // The parts of two ranks make one trunk, which others can read and evaluate.
  const fs::path file = cluster().root() / "small-10b.safetensors";
  const Result exported = cluster().Seer(
      absl::StrCat("checkpoint export ", sharded, "/8 --names timm --file ", file.string()));
  ASSERT_EQ(exported.code, 0) << exported.out;
  EXPECT_GT(fs::file_size(file), 100'000);
}

TEST_F(RecipeTest, WeightsOfAHalfPrecisionJobStartAnotherAndAreEvaluated) {
  const std::string options = "--set precision.mode=FP16 --set optim.steps=10";
  const std::string half = cluster().Submit(options + " --name half");
  ASSERT_EQ(cluster().Wait(half).code, 0) << cluster().Seer("job events " + half).out;
  const fs::path file = cluster().root() / "half.safetensors";
  const Result exported = cluster().Seer(
      absl::StrCat("checkpoint export ", half, "/10 --names vissl --file ", file.string()));
  ASSERT_EQ(exported.code, 0) << exported.out;

  // A job of no learning starts, and therefore ends, with the weights of the file.
  const std::string next = cluster().Submit(absl::StrCat(
      "--set optim.steps=1 --set optim.lr=1e-30 --set optim.finalLr=0 --set model.weights.uri=",
      file.string(), " --name from-file"));
  ASSERT_EQ(cluster().Wait(next).code, 0) << cluster().Seer("job events " + next).out;
  const fs::path again = cluster().root() / "again.safetensors";
  ASSERT_EQ(cluster()
                .Seer(absl::StrCat("checkpoint export ", next, "/1 --names vissl --file ",
                                   again.string()))
                .code,
            0);
  const std::string before = ReadAll(file), after = ReadAll(again);
  ASSERT_EQ(before.size(), after.size());
  int64_t different = 0;
  for (size_t i = 0; i < before.size(); ++i) different += before[i] != after[i];
  EXPECT_LT(different, static_cast<int64_t>(before.size()) / 4);  // running statistics moved
  const auto knn = [](const std::string& job, const std::string& more) {
    const json evaluation = cluster().Json(
        absl::StrCat("eval knn ", job, " --train-pool digits --test-pool digits ", more));
    return evaluation["evalResult"]["knn"].dump();
  };
  const std::string trained = knn(half, "");
  EXPECT_TRUE(absl::StrContains(trained, "top1Ratio")) << trained;
  EXPECT_EQ(knn(half, "--weights " + file.string()), trained);

  // What is no file of weights fails the job before its first step, with the path in the message.
  const fs::path other = cluster().root() / "other.safetensors";
  std::ofstream(other) << "not weights at all";
  const std::string wrong = cluster().Submit(
      absl::StrCat("--set model.weights.uri=", other.string(), " --name wrong-weights"));
  EXPECT_EQ(cluster().Wait(wrong).code, 100);
  const std::string message = cluster().Describe(wrong).value("stateMessage", "");
  EXPECT_TRUE(absl::StrContains(message, "other.safetensors")) << message;
  EXPECT_EQ(cluster().Step(wrong), 0);
}

}  // namespace
}  // namespace seer::e2e
