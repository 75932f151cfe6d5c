// What is computed in which precision, and the loss scale that fp16 needs.
#include <cmath>
#include <map>

#include <ATen/ATen.h>
#include <ATen/Context.h>

#include "engine/checkpoint/reader.h"
#include "engine/optim/loss_scale.h"
#include "engine/parallel/communicator.h"
#include "engine/parallel/executor.h"
#include "engine/train/network.h"
#include "tests/unit/engine/small_run.h"

namespace seer::engine {
namespace {

using testing::CheckpointBytes;
using testing::LargestLossGap;
using testing::RunSmall;
using testing::SmallConfig;

class HalfPrecision : public ::testing::TestWithParam<Precision> {
 protected:
  TrainConfig Config() const {
    TrainConfig config = SmallConfig();
    config.precision = GetParam();
    return config;
  }
  at::ScalarType type() const { return ActivationType(GetParam()); }
};

// Number by number: `type` holds few of them.
double ShareHeldBy(at::ScalarType type, const at::Tensor& floats) {
  return floats.to(type).to(at::kFloat).eq(floats).to(at::kDouble).mean().item<double>();
}

TEST_P(HalfPrecision, StaysNearFp32) {
  TrainConfig config = SmallConfig();
  const auto exact = RunSmall(config, {.until = 10});
  config.precision = GetParam();
  config.loss_scale.initial = 1024;  // gradients of this net overflow at 65536
  const auto rounded = RunSmall(config, {.until = 10});
  // 7 or 10 bits of fraction: the first losses agree to about a percent, later ones drift apart.
  EXPECT_NEAR(rounded[0].loss, exact[0].loss, 0.05);
  EXPECT_NEAR(rounded[9].loss, exact[9].loss, 0.3);
  EXPECT_NEAR(rounded[0].gradient_norm, exact[0].gradient_norm, 0.05 * exact[0].gradient_norm);
  EXPECT_GT(LargestLossGap(exact, rounded), 0) << "it was not used";
  std::vector<float> losses;
  for (const StepReport& report : rounded) {
    EXPECT_FALSE(report.skipped);
    losses.push_back(static_cast<float>(report.loss));
  }
  EXPECT_LT(ShareHeldBy(type(), at::tensor(losses)), 0.3) << "the loss is float";
}

TEST_P(HalfPrecision, ActivationsAreHalfAndGradientsFloat) {
  const auto solo = MakeSoloCommunicator();
  ASSERT_OK_AND_ASSIGN(Network network, BuildNetwork(Config(), *solo));
  const at::Tensor x = at::randn({4, 3, 32, 32}, at::detail::createCPUGenerator(1), at::kFloat)
                           .contiguous(at::MemoryFormat::ChannelsLast)
                           .to(type());
  NormMemory memory;
  Pass pass{PassMode::kTrain, &memory};
  at::Tensor y = x;
  for (size_t i = 0; i + 1 < network.chain.size(); ++i) {
    y = network.chain[i]->Forward(y, pass);
    EXPECT_EQ(y.scalar_type(), type()) << network.chain[i]->name();
  }
  for (const NormStatistics& statistics : memory.entries) {
    EXPECT_EQ(statistics.mean.scalar_type(), at::kFloat);
    EXPECT_EQ(statistics.variance.scalar_type(), at::kFloat);
  }
  y = network.chain.back()->Forward(y, pass);
  EXPECT_EQ(y.scalar_type(), at::kFloat);
  torch::autograd::backward({y.square().sum() + y.sum()});
  for (const auto& segment : network.chain) {
    for (const NamedTensor& p : segment->parameters()) {
      EXPECT_EQ(p.tensor.scalar_type(), at::kFloat) << p.name;
      EXPECT_EQ(p.tensor.grad().scalar_type(), at::kFloat) << p.name;
    }
  }
}

// The queue keeps the features that scores were computed from.
TEST_P(HalfPrecision, FeaturesCodesAndPrototypesAreFloat) {
  TrainConfig config = Config();
  config.swav.queue_length = 32;
  config.swav.sinkhorn_iterations = 100;
  config.swav.epsilon = 0.5;
  const auto store = MakeMemoryStore();
  const auto reports = RunSmall(config, {.until = 3, .save_to = "3", .store = store.get()});
  ASSERT_OK_AND_ASSIGN(const LoadedCheckpoint after, ReadCheckpoint(*store, "3"));
  for (const char* name : {"queue/features", "projection_head.0.weight"}) {
    const at::Tensor& tensor = after.tensors.at(name);
    EXPECT_EQ(tensor.scalar_type(), at::kFloat) << name;
    EXPECT_LT(ShareHeldBy(type(), tensor), 0.1) << name;
  }
  const at::Tensor norms = after.tensors.at("queue/features").norm(2, {2});
  EXPECT_LT((norms - 1).abs().max().item<double>(), 1e-6);
  // In half precision the marginals would stay some 1e-3 away.
  for (const StepReport& report : reports) EXPECT_LT(report.sinkhorn_residual, 1e-5);
}

TEST_P(HalfPrecision, RecomputeChangesNoBit) {
  TrainConfig config = Config();
  const auto store = MakeMemoryStore();
  RunSmall(config, {.until = 3, .save_to = "kept", .store = store.get()});
  config.memory.recompute = MemoryConfig::Recompute::kAll;
  RunSmall(config, {.until = 3, .save_to = "recomputed", .store = store.get()});
  EXPECT_EQ(CheckpointBytes(*store, "kept"), CheckpointBytes(*store, "recomputed"));
}

TEST_P(HalfPrecision, RanksAgreeWithOne) {
  TrainConfig config = Config();
  config.optim.base_lr = config.optim.start_lr = 0.01;
  const auto one = RunSmall(config, {.until = 5}),
             two = RunSmall(config, {.world_size = 2, .until = 5});
  EXPECT_LT(LargestLossGap(one, two), 0.05);
}

INSTANTIATE_TEST_SUITE_P(Types, HalfPrecision,
                         ::testing::Values(Precision::kBf16, Precision::kFp16),
                         [](const auto& info) {
                           return std::string(info.param == Precision::kFp16 ? "Fp16" : "Bf16");
                         });

TEST(Tf32, IsASettingForGpusAndFp32OnTheCpu) {
  TrainConfig config = SmallConfig();
  const auto exact = RunSmall(config, {.until = 2});
  EXPECT_FALSE(at::globalContext().allowTF32CuBLAS());
  EXPECT_FALSE(at::globalContext().allowTF32CuDNN()) << "torch's default is true";
  config.precision = Precision::kTf32;
  const auto rounded = RunSmall(config, {.until = 2});
  EXPECT_TRUE(at::globalContext().allowTF32CuBLAS());
  EXPECT_TRUE(at::globalContext().allowTF32CuDNN());
  EXPECT_EQ(LargestLossGap(exact, rounded), 0);
  SetProductPrecision(Precision::kFp32);
}

TrainConfig Fp16(double scale, int64_t growth_interval = 2000) {
  TrainConfig config = SmallConfig();
  config.precision = Precision::kFp16;
  config.loss_scale = {scale, growth_interval};
  return config;
}

// Tensors of the checkpoint that `config` writes after so many steps.
std::map<std::string, at::Tensor> After(const TrainConfig& config, int64_t steps,
                                        std::vector<StepReport>* reports = nullptr) {
  const auto store = MakeMemoryStore();
  const auto run = RunSmall(config, {.until = steps, .save_to = "x", .store = store.get()});
  if (reports != nullptr) *reports = run;
  auto loaded = ReadCheckpoint(*store, "x");
  SEER_CHECK(loaded.ok()) << loaded.status().ToString();
  return loaded->tensors;
}

TEST(LossScale, AnOverflowChangesNothingButTheScale) {
  TrainConfig config = Fp16(1 << 24);
  config.swav.queue_length = 32;
  config.optim.ema_decay = 0.5;
  const auto before = After(config, 0);
  std::vector<StepReport> reports;
  const auto after = After(config, 1, &reports);
  ASSERT_TRUE(reports[0].skipped && reports[0].overflow && reports[0].own_finite);
  EXPECT_TRUE(std::isfinite(reports[0].loss));
  EXPECT_EQ(reports[0].loss_scale, 1 << 24);
  ASSERT_EQ(after.size(), before.size());
  for (const auto& [name, tensor] : after) {
    if (name == "loss_scale/value") {
      EXPECT_EQ(tensor.item<float>(), 1 << 23);
    } else if (name == "prototypes.weight") {  // normalised at every step's start
      EXPECT_LT((tensor - before.at(name) / before.at(name).norm(2, {1}, true))
                    .abs()
                    .max()
                    .item<double>(),
                1e-6);
    } else {
      EXPECT_TRUE(tensor.equal(before.at(name))) << name;
    }
  }
}

TEST(LossScale, ShrinksUntilTheGradientsFitThenTrains) {
  std::vector<StepReport> reports;
  After(Fp16(1 << 24), 16, &reports);
  size_t good = 0;
  while (good < reports.size() && reports[good].skipped) ++good;
  ASSERT_GT(good, 2u);
  ASSERT_LT(good, 14u);
  for (size_t step = 1; step <= good; ++step)
    EXPECT_EQ(reports[step].loss_scale, reports[step - 1].loss_scale / 2) << step;
  EXPECT_TRUE(std::isfinite(reports[good].gradient_norm));
}

TEST(LossScale, IsNoPartOfTheNumbersWhereGradientsFit) {
  // Powers of two only move exponents; what differs are the gradients too small for the lower one.
  std::vector<StepReport> low, high;
  After(Fp16(256), 3, &low);
  After(Fp16(1024), 3, &high);
  EXPECT_EQ(low[0].loss, high[0].loss);
  EXPECT_NEAR(low[0].gradient_norm, high[0].gradient_norm, 1e-3 * high[0].gradient_norm);
}

TEST(LossScale, StopAndRestoreIsNoStopAtAll) {
  const TrainConfig config = Fp16(1024, 3);
  const auto store = MakeMemoryStore();
  const auto whole = RunSmall(config, {.until = 8, .save_to = "whole", .store = store.get()});
  EXPECT_EQ(whole[7].loss_scale, 4096) << "doubled after steps 2 and 5";
  RunSmall(config, {.until = 5, .save_to = "half", .store = store.get()});
  const auto rest = RunSmall(
      config, {.until = 8, .restore_from = "half", .save_to = "resumed", .store = store.get()});
  ASSERT_EQ(rest.size(), 3u);
  EXPECT_EQ(rest[0].loss_scale, 2048);
  EXPECT_EQ(rest[2].loss_scale, 4096);
  EXPECT_EQ(CheckpointBytes(*store, "whole"), CheckpointBytes(*store, "resumed"));
}

// No scale mends a loss that is not finite itself: such a step counts as any other refused one.
TEST(LossScale, ALossThatIsNotFiniteIsNoOverflowOfTheGradients) {
  TrainConfig config = Fp16(65536);
  config.photometry.std = {1e-6f, 1e-6f, 1e-6f};  // inputs beyond 65504
  const auto reports = RunSmall(config, {.until = 3});
  for (size_t step = 0; step < reports.size(); ++step) {
    EXPECT_TRUE(reports[step].skipped);
    EXPECT_FALSE(reports[step].overflow);
    EXPECT_EQ(reports[step].loss_scale, 65536 / std::exp2(step));
  }
}

TEST(LossScale, DoesNotGoBelow1AndThenNothingIsAnOverflow) {
  LossScale scale({4, 2});
  EXPECT_TRUE(scale.can_shrink());
  for (int i = 0; i < 5; ++i) scale.Update(false);
  EXPECT_EQ(scale.value(), 1);
  EXPECT_FALSE(scale.can_shrink());
  scale.Update(true);
  scale.Update(true);
  EXPECT_EQ(scale.value(), 2);
}

TEST(LossScale, StaysFinite) {
  LossScale scale({1 << 24, 1});
  for (int i = 0; i < 200; ++i) scale.Update(true);
  EXPECT_EQ(scale.value(), std::exp2(127));
}

}  // namespace
}  // namespace seer::engine
