// Training steps on a GPU beside the same steps on the CPU, and checkpoints that go from one to the
// other.
#include <cmath>

#include "engine/session/eval_session.h"
#include "engine/session/train_session.h"
#include "tests/gpu/gpu.h"
#include "tests/unit/engine/small_run.h"

namespace seer::engine {
namespace {

using testing::SmallBatch;
using testing::SmallConfig;

struct Run {
  std::string device = "cpu";
  int64_t until = 4;
  std::string restore_from, save_to;  // prefixes in `store`
  ObjectStore* store = nullptr;
};

std::vector<StepReport> Train(const TrainConfig& config, const Run& run) {
  std::vector<StepReport> reports;
  RankConfig rank;
  rank.device = run.device;
  const auto session = TrainSession::Create(config, rank);
  EXPECT_OK(session.status());
  if (!session.ok()) return reports;
  if (!run.restore_from.empty()) EXPECT_OK((*session)->Restore(*run.store, run.restore_from));
  while ((*session)->next_step() < run.until) {
    const auto report = (*session)->Step(SmallBatch(config, (*session)->next_step(), 0, 1));
    EXPECT_OK(report.status());
    if (!report.ok()) return reports;
    reports.push_back(*report);
  }
  if (run.save_to.empty()) return reports;
  const auto snapshot = (*session)->Snapshot();
  EXPECT_OK(snapshot.status());
  if (snapshot.ok()) EXPECT_OK((*snapshot)->Write(*run.store, run.save_to).status());
  return reports;
}

// fp32 sums in another order differ by 1e-7 of their terms, and training amplifies that: an
// activation within it of 0 falls to the other side of a ReLU. The first step's loss has seen no
// update yet.
void ExpectAlike(const std::vector<StepReport>& gpu, const std::vector<StepReport>& cpu,
                 double first, double later) {
  ASSERT_EQ(gpu.size(), cpu.size());
  for (size_t i = 0; i < cpu.size(); ++i) {
    const double tolerance = i == 0 ? first : later;
    EXPECT_NEAR(gpu[i].loss, cpu[i].loss, tolerance * cpu[i].loss) << i;
    EXPECT_NEAR(gpu[i].gradient_norm, cpu[i].gradient_norm, 20 * tolerance * cpu[i].gradient_norm)
        << i;
    EXPECT_NEAR(gpu[i].assignment_entropy_nats, cpu[i].assignment_entropy_nats, 20 * tolerance);
    EXPECT_NEAR(gpu[i].feature_std, cpu[i].feature_std, 20 * tolerance);
    EXPECT_FALSE(gpu[i].skipped);
  }
}

TEST(GpuTraining, StepsAreTheCpusWithPhotometryQueueAndEveryOptimizer) {
  for (const auto kind : {OptimizerKind::kSgd, OptimizerKind::kLars, OptimizerKind::kAdamW}) {
    TrainConfig config = SmallConfig();
    config.optim.kind = kind;
    if (kind == OptimizerKind::kAdamW) config.optim.base_lr = 1e-3;
    config.swav.queue_length = 32;
    config.optim.clip_norm = 1;
    config.optim.ema_decay = 0.9;
    config.photometry.solarize_probability = 0.3;
    ExpectAlike(Train(config, {testing::kGpu}), Train(config, {"cpu"}), 1e-4, 1e-2);
  }
}

TEST(GpuTraining, RecomputeAndPartsOfABatchChangeNothing) {
  TrainConfig config = SmallConfig();
  const std::vector<StepReport> kept = Train(config, {testing::kGpu});
  config.memory.recompute = MemoryConfig::Recompute::kAll;
  ExpectAlike(Train(config, {testing::kGpu}), kept, 1e-5, 1e-2);
  config.accumulation_steps = 2;
  ExpectAlike(Train(config, {testing::kGpu}), Train(config, {"cpu"}), 1e-4, 1e-2);
}

TEST(GpuTraining, SixteenBitsAreNear) {
  TrainConfig config = SmallConfig();
  const std::vector<StepReport> wide = Train(config, {"cpu"});
  for (const auto precision : {Precision::kBf16, Precision::kFp16, Precision::kTf32}) {
    config.precision = precision;
    config.loss_scale.initial = 1024;
    ExpectAlike(Train(config, {testing::kGpu}), wide, 2e-2, 5e-2);
  }
}

TEST(GpuTraining, WithItsStateInHostMemoryTheStepsAreTheSame) {
  TrainConfig config = SmallConfig();
  const std::vector<StepReport> plain = Train(config, {testing::kGpu});
  config.memory.offload_optimizer = true;
  ExpectAlike(Train(config, {testing::kGpu}), plain, 1e-5, 1e-2);
}

TEST(GpuTraining, ACheckpointGoesFromCpuToGpuAndBackBitForBit) {
  TrainConfig config = SmallConfig();
  config.swav.queue_length = 32;
  const auto store = MakeMemoryStore();
  Train(config, {"cpu", 3, "", "cpu", store.get()});
  // No step between: what was read is written again.
  Train(config, {testing::kGpu, 3, "cpu", "gpu", store.get()});
  EXPECT_EQ(testing::CheckpointBytes(*store, "gpu"), testing::CheckpointBytes(*store, "cpu"));
  Train(config, {"cpu", 3, "gpu", "again", store.get()});
  EXPECT_EQ(testing::CheckpointBytes(*store, "again"), testing::CheckpointBytes(*store, "cpu"));
  ExpectAlike(Train(config, {testing::kGpu, 5, "cpu", "", store.get()}),
              Train(config, {"cpu", 5, "cpu", "", store.get()}), 1e-4, 1e-2);
}

TEST(GpuTraining, TheGpusTimeIsSplitIntoPhases) {
  const std::vector<StepReport> reports = Train(SmallConfig(), {testing::kGpu});
  ASSERT_FALSE(reports.empty());
  const PhaseSeconds& phases = reports.back().phases;
  for (const double seconds :
       {phases.augment, phases.forward, phases.loss, phases.backward, phases.optimizer})
    EXPECT_GT(seconds, 0);
}

TEST(GpuEvaluation, NeighboursAreTheCpus) {
  TrainConfig config = SmallConfig();
  config.crops = {{1, 32}};
  std::vector<double> ratios;
  for (const std::string device : {"cpu", testing::kGpu}) {
    ASSERT_OK_AND_ASSIGN(const auto eval, EvalSession::Create(config, 1, device));
    for (const auto set : {EvalSession::Set::kTrain, EvalSession::Set::kHeldOut}) {
      for (int64_t step = 0; step < 4; ++step) {
        Batch batch = SmallBatch(config, step, 0, 1);
        for (size_t i = 0; i < batch.labels.size(); ++i)
          batch.labels[i] =
              static_cast<int32_t>((batch.first_sample + static_cast<int64_t>(i)) % 4);
        ASSERT_OK(eval->Add(set, batch));
      }
    }
    KnnConfig knn;
    knn.k = {5};
    ASSERT_OK_AND_ASSIGN(const auto results, eval->Knn(knn));
    ratios.push_back(results.at(0).top1_ratio);
  }
  EXPECT_NEAR(ratios[0], ratios[1], 0.05) << "a neighbour more or less at equal distance";
}

}  // namespace
}  // namespace seer::engine
