// The optimisers alone, where the goldens of tests/parity do not look; then whole runs with each.
#include <cmath>
#include <map>

#include <ATen/ATen.h>

#include "common/base/reasons.h"
#include "engine/checkpoint/reader.h"
#include "engine/checkpoint/snapshot.h"
#include "engine/checkpoint/writer.h"
#include "engine/optim/adamw.h"
#include "engine/optim/lars.h"
#include "engine/optim/optimizer.h"
#include "engine/optim/sgd.h"
#include "engine/optim/weight_mean.h"
#include "tests/unit/engine/small_run.h"

namespace seer::engine {
namespace {

using seer::testing::FailsWith;
using testing::CheckpointBytes;
using testing::LargestLossGap;
using testing::RunSmall;
using testing::SmallBatch;
using testing::SmallConfig;
using testing::WithRules;

at::Tensor Random(at::IntArrayRef sizes, uint64_t seed = 1) {
  return at::randn(sizes, at::detail::createCPUGenerator(seed), at::kFloat);
}
double Largest(const at::Tensor& t) { return t.abs().max().item<double>(); }

NamedTensor Parameter(const std::string& name, at::IntArrayRef sizes, const at::Tensor& gradient) {
  NamedTensor p = {name, Random(sizes).requires_grad_()};
  p.tensor.mutable_grad() = gradient.clone();
  return p;
}

std::map<std::string, at::Tensor> StateOf(const Optimizer& optimizer) {
  std::map<std::string, at::Tensor> state;
  for (const NamedTensor& s : optimizer.State()) state.emplace(s.name, s.tensor.clone());
  return state;
}

TEST(Sgd, FrozenAndZeroGradientParametersStay) {
  std::vector<NamedTensor> parameters = {
      Parameter("0", {4, 3}, at::ones({4, 3})),
      Parameter("1", {4, 3}, at::zeros({4, 3})),  // LARC: neither decay nor scaling
      Parameter("2", {4, 3}, at::ones({4, 3}))};
  Sgd sgd(WithRules(parameters), {});
  EXPECT_NEAR(GradientNorm(WithRules(parameters)), std::sqrt(24.0), 1e-5);
  sgd.Step(FixedRates({}, 0.5), {true, false, false});
  const at::Tensor start = Random({4, 3});
  EXPECT_TRUE(parameters[0].tensor.detach().equal(start));
  EXPECT_TRUE(parameters[1].tensor.detach().equal(start));
  EXPECT_FALSE(parameters[2].tensor.detach().equal(start));
}

class EveryOptimizer : public ::testing::TestWithParam<OptimizerKind> {
 protected:
  OptimConfig Config() const {
    OptimConfig config;
    config.kind = GetParam();
    return config;
  }
};

TEST_P(EveryOptimizer, FrozenParametersAndTheirStateStay) {
  std::vector<NamedTensor> parameters = {Parameter("a", {4, 3}, Random({4, 3}, 2)),
                                         Parameter("b", {4, 3}, Random({4, 3}, 3))};
  const auto optimizer = MakeOptimizer(WithRules(parameters, Config()), Config());
  optimizer->Step(FixedRates(Config(), 0.1));
  const at::Tensor a = parameters[0].tensor.detach().clone(),
                   b = parameters[1].tensor.detach().clone();
  const auto before = StateOf(*optimizer);
  for (NamedTensor& p : parameters) p.tensor.mutable_grad() = Random({4, 3}, 4);
  optimizer->Step(FixedRates(Config(), 0.1), {true, false});
  EXPECT_TRUE(parameters[0].tensor.detach().equal(a));
  EXPECT_FALSE(parameters[1].tensor.detach().equal(b));
  for (const auto& [name, tensor] : StateOf(*optimizer)) {
    EXPECT_EQ(tensor.equal(before.at(name)), name.back() == 'a') << name;
  }
}

TEST_P(EveryOptimizer, AStepWithEverythingFrozenIsNoError) {
  std::vector<NamedTensor> parameters = {Parameter("a", {4, 3}, at::ones({4, 3}))};
  MakeOptimizer(WithRules(parameters, Config()), Config())->Step(FixedRates(Config(), 0.1), {true});
  EXPECT_TRUE(parameters[0].tensor.detach().equal(Random({4, 3})));
}

TEST_P(EveryOptimizer, NormsAndBiasesMayGoWithoutDecayAndRatesOfTheirOwn) {
  OptimConfig plain = Config();
  plain.decay_norm_and_bias = false;
  plain.weight_decay = 0;
  plain.larc.enabled = false;
  OptimConfig config = plain;
  config.weight_decay = 0.5;
  config.larc.enabled = true;
  std::vector<NamedTensor> expected = {Parameter("bias", {3}, Random({3}, 2))},
                           actual = {Parameter("bias", {3}, Random({3}, 2))},
                           decayed = {Parameter("bias", {3}, Random({3}, 2))};
  MakeOptimizer(WithRules(expected, plain), plain)->Step(FixedRates(plain, 0.25));
  MakeOptimizer(WithRules(actual, config), config)->Step(FixedRates(config, 0.25));
  config.decay_norm_and_bias = true;
  MakeOptimizer(WithRules(decayed, config), config)->Step(FixedRates(config, 0.25));
  EXPECT_TRUE(actual[0].tensor.detach().equal(expected[0].tensor.detach()));
  EXPECT_FALSE(decayed[0].tensor.detach().equal(expected[0].tensor.detach()));
  if (GetParam() != OptimizerKind::kAdamW) {  // the first step of momentum is the gradient itself
    EXPECT_LT(Largest(actual[0].tensor.detach() - (Random({3}) - 0.25 * Random({3}, 2))), 1e-6);
  }
}

TEST(Lars, ZeroWeightsAndZeroUpdatesAreNotScaled) {
  OptimConfig config;
  config.weight_decay = 0;
  std::vector<NamedTensor> parameters = {Parameter("zero", {2, 2}, at::ones({2, 2})),
                                         Parameter("still", {2, 2}, at::zeros({2, 2}))};
  parameters[0].tensor.detach().zero_();
  Lars(WithRules(parameters, config), config).Step(FixedRates(config, 0.5));
  EXPECT_TRUE(parameters[0].tensor.detach().equal(at::full({2, 2}, -0.5)));
  EXPECT_TRUE(parameters[1].tensor.detach().equal(Random({2, 2})));
}

TEST(Lars, TheStepIsAShareOfTheWeightWhateverTheGradient) {
  OptimConfig config;
  config.weight_decay = 0;
  config.lars.trust = 0.01;
  for (const double scale : {1e-3, 1.0, 1e3}) {
    std::vector<NamedTensor> parameters = {Parameter("w", {8, 8}, Random({8, 8}, 2) * scale)};
    Lars(WithRules(parameters, config), config).Step(FixedRates(config, 2));
    const at::Tensor start = Random({8, 8});
    const double moved = (parameters[0].tensor.detach() - start).norm().item<double>();
    EXPECT_NEAR(moved / start.norm().item<double>(), 2 * 0.01, 1e-5) << scale;
  }
}

TEST(AdamW, DecayIsDecoupledFromTheGradient) {
  OptimConfig config;
  config.weight_decay = 0.1;
  std::vector<NamedTensor> parameters = {Parameter("w", {4, 3}, at::zeros({4, 3}))};
  AdamW adamw(WithRules(parameters, config), config);
  adamw.Step(FixedRates(config, 0.5));
  EXPECT_LT(Largest(parameters[0].tensor.detach() - Random({4, 3}) * 0.95), 1e-6);
  EXPECT_EQ(Largest(StateOf(adamw).at("exp_avg/w")), 0) << "the decay entered the average";
}

TEST(AdamW, CountsUpdatesOfEachParameter) {
  std::vector<NamedTensor> parameters = {Parameter("a", {2}, at::ones({2})),
                                         Parameter("b", {2}, at::ones({2}))};
  OptimConfig config;
  config.weight_decay = 0;
  AdamW adamw(WithRules(parameters, config), config);
  for (int step = 0; step < 5; ++step) {
    for (NamedTensor& p : parameters) p.tensor.mutable_grad() = at::full({2}, 3.0f);
    adamw.Step(FixedRates(config, 0.25), {false, step < 3});
  }
  const auto state = StateOf(adamw);
  EXPECT_EQ(state.at("step/a").item<int64_t>(), 5);
  EXPECT_EQ(state.at("step/b").item<int64_t>(), 2);
  // With a constant gradient the corrected averages are exact: each update is one rate long.
  EXPECT_LT(Largest(parameters[0].tensor.detach() - (Random({2}) - 5 * 0.25)), 1e-5);
  EXPECT_LT(Largest(parameters[1].tensor.detach() - (Random({2}) - 2 * 0.25)), 1e-5);
}

TEST(ClipGradients, ScalesAllByOneFactorAndLeavesSmallOnesBitEqual) {
  std::vector<NamedTensor> parameters = {Parameter("a", {30}, Random({30}, 2)),
                                         Parameter("b", {5, 4}, Random({5, 4}, 3) * 10)};
  const double norm = GradientNorm(WithRules(parameters));
  ClipGradients(WithRules(parameters), norm, norm * 1.01);
  EXPECT_TRUE(parameters[0].tensor.grad().equal(Random({30}, 2)));
  ClipGradients(WithRules(parameters), norm, 2);
  EXPECT_NEAR(GradientNorm(WithRules(parameters)), 2, 1e-5);
  EXPECT_LT(Largest(parameters[0].tensor.grad() - Random({30}, 2) * (2 / norm)), 1e-6);
}

TEST(WeightMean, FollowsTheWeightsByItsDecay) {
  std::vector<NamedTensor> parameters = {{"a", at::full({3}, 1.0f).requires_grad_()},
                                         {"b", at::full({2, 2}, -2.0f).requires_grad_()}};
  WeightMean mean(WithRules(parameters), 0.75);
  mean.Update();
  EXPECT_TRUE(mean.State()[0].tensor.equal(at::full({3}, 1.0f))) << "it starts as the weights";
  parameters[0].tensor.detach().fill_(5);
  mean.Update();  // 0.75 · 1 + 0.25 · 5
  mean.Update();  // 0.75 · 2 + 0.25 · 5
  const auto state = mean.State();
  ASSERT_EQ(state.size(), 2u);
  EXPECT_EQ(state[0].name, "ema/a");
  EXPECT_LT(Largest(state[0].tensor - 2.75), 1e-6);
  EXPECT_TRUE(state[1].tensor.equal(at::full({2, 2}, -2.0f)));
  EXPECT_TRUE(parameters[0].tensor.detach().equal(at::full({3}, 5.0f))) << "the weights' own";
}

TEST(TrainSession, KeepsTheMeanOfTheWeightsBesideThem) {
  TrainConfig config = SmallConfig();
  config.optim.base_lr = 1;
  config.optim.warmup_steps = 0;
  const auto plain = RunSmall(config, {.until = 3});
  config.optim.ema_decay = 0.75;
  const auto store = MakeMemoryStore();
  std::map<int64_t, LoadedCheckpoint> after;
  for (const int64_t steps : {0, 1, 2, 3}) {
    const std::string prefix = absl::StrCat("at-", steps);
    const auto reports =
        RunSmall(config, {.until = steps, .save_to = prefix, .store = store.get()});
    ASSERT_EQ(reports.size(), static_cast<size_t>(steps));
    for (size_t i = 0; i < reports.size(); ++i)
      EXPECT_EQ(reports[i].loss, plain[i].loss) << "the mean is not trained with";
    ASSERT_OK_AND_ASSIGN(after[steps], ReadCheckpoint(*store, prefix));
  }
  const std::string name = "projection_head.0.weight";
  at::Tensor mean = after[0].tensors.at(name);
  EXPECT_TRUE(after[0].tensors.at("ema/" + name).equal(mean));
  for (const int64_t steps : {1, 2, 3}) {
    mean = 0.75 * mean + 0.25 * after[steps].tensors.at(name);
    EXPECT_LT(Largest(after[steps].tensors.at("ema/" + name) - mean), 1e-6) << steps;
    EXPECT_GT(Largest(after[steps].tensors.at(name) - mean), 1e-5) << steps;
  }
}

// A run that a few steps move well, for each kind.
TrainConfig RunConfig(OptimizerKind kind) {
  TrainConfig config = SmallConfig();
  config.optim.kind = kind;
  if (kind == OptimizerKind::kLars) {
    config.optim.base_lr = 1;
    config.optim.decay_norm_and_bias = false;
  }
  if (kind == OptimizerKind::kAdamW) {
    config.optim.base_lr = 0.003;
    config.optim.start_lr = 0.001;
    config.optim.final_lr = 0;
    config.optim.weight_decay = 0.01;
  }
  return config;
}

TEST_P(EveryOptimizer, Learns) {
  TrainConfig config = RunConfig(GetParam());
  if (GetParam() == OptimizerKind::kSgd) config.optim.base_lr = 0.4;
  const auto reports = RunSmall(config, {.until = 30});
  ASSERT_EQ(reports.size(), 30u);
  double first = 0, last = 0;
  for (size_t i = 0; i < 5; ++i) first += reports[i].loss / 5, last += reports[25 + i].loss / 5;
  EXPECT_LT(last, first - 0.3);
}

TEST_P(EveryOptimizer, StopAndRestoreIsNoStopAtAll) {
  TrainConfig config = RunConfig(GetParam());
  config.swav.queue_length = 40;
  config.swav.freeze_prototypes_steps = 3;
  config.optim.clip_norm = 0.5;
  config.optim.ema_decay = 0.75;
  const auto store = MakeMemoryStore();
  const auto whole = RunSmall(config, {.until = 6, .save_to = "whole", .store = store.get()});
  RunSmall(config, {.until = 2, .save_to = "half", .store = store.get()});
  const auto rest = RunSmall(
      config, {.until = 6, .restore_from = "half", .save_to = "resumed", .store = store.get()});
  ASSERT_EQ(rest.size(), 4u);
  EXPECT_EQ(rest[3].loss, whole[5].loss);
  EXPECT_EQ(CheckpointBytes(*store, "whole"), CheckpointBytes(*store, "resumed"));
  ASSERT_OK_AND_ASSIGN(const LoadedCheckpoint end, ReadCheckpoint(*store, "whole"));
  if (GetParam() == OptimizerKind::kAdamW) {
    EXPECT_EQ(end.tensors.at("step/prototypes.weight").item<int64_t>(), 3) << "frozen for 3 of 6";
    EXPECT_EQ(end.tensors.at("step/projection_head.0.weight").item<int64_t>(), 6);
  }
  EXPECT_EQ(end.metadata.at("optimizer"), OptimizerName(GetParam()));
}

// As Gang.LossDoesNotDependOnTheWorldSize. At these rates the gap is 3e-6 to 8e-5 (three seeds),
// while the updates move the loss by 7e-3 and more; AdamW's is the largest, since it gives a
// gradient that is all rounding the same step as any other.
class WorldSize : public EveryOptimizer {};

TEST_P(WorldSize, DoesNotChangeTheLoss) {
  TrainConfig config = RunConfig(GetParam());
  const double rate = GetParam() == OptimizerKind::kAdamW ? 4e-6 : 0.01;
  config.optim.base_lr = config.optim.start_lr = rate;
  config.swav.freeze_prototypes_steps = 2;
  config.optim.clip_norm = 0.5;
  const auto one = RunSmall(config, {.until = 20}),
             two = RunSmall(config, {.world_size = 2, .until = 20});
  EXPECT_LT(LargestLossGap(one, two), 1e-4);
  config.optim.base_lr = config.optim.start_lr = config.optim.final_lr = 0;
  EXPECT_GT(LargestLossGap(one, RunSmall(config, {.until = 20})), 5e-3)
      << "the updates do not matter to the loss";
}

TEST_P(EveryOptimizer, RefusesTheStateOfAnotherKind) {
  const auto store = MakeMemoryStore();
  RunSmall(RunConfig(GetParam()), {.until = 1, .save_to = "x", .store = store.get()});
  for (const OptimizerKind other :
       {OptimizerKind::kSgd, OptimizerKind::kLars, OptimizerKind::kAdamW}) {
    ASSERT_OK_AND_ASSIGN(const auto session, TrainSession::Create(RunConfig(other), {}));
    if (other == GetParam()) {
      EXPECT_OK(session->Restore(*store, "x"));
    } else {
      EXPECT_THAT(session->Restore(*store, "x"),
                  FailsWith(absl::StatusCode::kFailedPrecondition, reason::kCheckpointMismatch,
                            absl::StrCat("optimiser '", OptimizerName(GetParam()),
                                         "', the job trains with '", OptimizerName(other), "'")));
      EXPECT_EQ(session->next_step(), 0);
    }
  }
}

std::string KindName(const ::testing::TestParamInfo<OptimizerKind>& info) {
  return OptimizerName(info.param);
}

INSTANTIATE_TEST_SUITE_P(Kinds, EveryOptimizer,
                         ::testing::Values(OptimizerKind::kSgd, OptimizerKind::kLars,
                                           OptimizerKind::kAdamW),
                         KindName);
INSTANTIATE_TEST_SUITE_P(Kinds, WorldSize,
                         ::testing::Values(OptimizerKind::kLars, OptimizerKind::kAdamW), KindName);

// Before there were kinds, checkpoints did not name one.
TEST(Restore, ACheckpointWithoutAKindIsSgds) {
  const auto store = MakeMemoryStore();
  const TrainConfig config = SmallConfig();
  RunSmall(config, {.until = 2, .save_to = "new", .store = store.get()});
  ASSERT_OK_AND_ASSIGN(LoadedCheckpoint old, ReadCheckpoint(*store, "new"));
  ASSERT_EQ(old.metadata.erase("optimizer"), 1u);
  std::vector<NamedTensor> tensors;
  bool momentum = false;
  for (const auto& [name, tensor] : old.tensors) {
    tensors.push_back({name, tensor});
    momentum = momentum || name == "momentum/prototypes.weight";
  }
  EXPECT_TRUE(momentum) << "the name under which old checkpoints hold it";
  ASSERT_OK(WriteSnapshot(TakeSnapshot(HeldWhole(tensors), {}, old.metadata, 0, 1), *store, "old"));
  RunSmall(config,
           {.until = 4, .restore_from = "old", .save_to = "from-old", .store = store.get()});
  RunSmall(config,
           {.until = 4, .restore_from = "new", .save_to = "from-new", .store = store.get()});
  EXPECT_EQ(CheckpointBytes(*store, "from-old"), CheckpointBytes(*store, "from-new"));
  ASSERT_OK_AND_ASSIGN(const auto lars, TrainSession::Create(RunConfig(OptimizerKind::kLars), {}));
  EXPECT_THAT(lars->Restore(*store, "old"),
              FailsWith(absl::StatusCode::kFailedPrecondition, reason::kCheckpointMismatch, "sgd"));
}

TEST(TrainSession, ClippingChangesTheUpdateAndReportsTheNormBefore) {
  TrainConfig config = SmallConfig();
  config.optim.larc.enabled = false;  // it would undo the scaling
  const auto free = RunSmall(config, {.until = 3});
  config.optim.clip_norm = free[0].gradient_norm / 2;
  const auto clipped = RunSmall(config, {.until = 3});
  EXPECT_EQ(clipped[0].gradient_norm, free[0].gradient_norm);
  EXPECT_NE(clipped[1].loss, free[1].loss);
  config.optim.clip_norm = 1e6;
  EXPECT_EQ(LargestLossGap(RunSmall(config, {.until = 3}), free), 0) << "never reached";
}

TEST(TrainSession, ASchedulesValueIsThatOfItsStep) {
  TrainConfig plain = SmallConfig();
  plain.optim.schedules.lr = {{{ScheduleShape::kConstant, 0.1, 0.1, 1}}};
  const auto expected = RunSmall(plain, {.until = 5});
  EXPECT_EQ(expected[4].learning_rate, 0.1);
  struct Case {
    const char* name;
    Schedule ScheduleConfig::*place;
    double before, after;
    size_t first_different_loss;  // from step 2 on; a step's update shows in the next one's loss
  };
  const OptimConfig& o = plain.optim;
  for (const Case& c :
       {Case{"lr", &ScheduleConfig::lr, 0.1, 0.5, 3},
        Case{"weight decay", &ScheduleConfig::weight_decay, o.weight_decay, 0.5, 3},
        Case{"momentum", &ScheduleConfig::momentum, o.momentum, 0.1, 3},
        Case{"trust", &ScheduleConfig::larc_trust, o.larc.trust, 0.1, 3},
        Case{"temperature", &ScheduleConfig::temperature, plain.swav.temperature, 0.5, 2},
        Case{"epsilon", &ScheduleConfig::epsilon, plain.swav.epsilon, 0.5, 2}}) {
    TrainConfig config = plain;
    config.optim.schedules.*c.place = {{{ScheduleShape::kConstant, c.before, c.before, 2},
                                        {ScheduleShape::kConstant, c.after, c.after, 1}}};
    const auto actual = RunSmall(config, {.until = 5});
    ASSERT_EQ(actual.size(), expected.size());
    for (size_t step = 0; step < actual.size(); ++step) {
      EXPECT_EQ(actual[step].loss == expected[step].loss, step < c.first_different_loss)
          << c.name << " step " << step;
    }
  }
}

TEST(TrainSession, RefusesWrongOptimizerSettings) {
  const auto refused = [](const std::function<void(OptimConfig&)>& spoil, const std::string& text) {
    TrainConfig config = SmallConfig();
    spoil(config.optim);
    EXPECT_THAT(TrainSession::Create(config, {}),
                FailsWith(absl::StatusCode::kInvalidArgument, reason::kInvalidArgument, text));
  };
  refused([](OptimConfig& o) { o.clip_norm = -1; }, "clip");
  refused(
      [](OptimConfig& o) {
        o.schedules.momentum = {{{ScheduleShape::kConstant, 0.5, 0.5, 0}}};
      },
      "a phase of 0 steps");
  refused([](OptimConfig& o) { o.lars.trust = 0; }, "trust is 0");
  refused([](OptimConfig& o) { o.adamw.beta2 = 1; }, "a beta is 1");
  refused([](OptimConfig& o) { o.adamw.epsilon = 0; }, "epsilon is 0");
}

}  // namespace
}  // namespace seer::engine
