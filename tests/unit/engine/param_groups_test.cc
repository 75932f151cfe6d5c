// Which rules parameters get, that each optimiser follows them, and that none cares in how many
// pieces, of what shape, a parameter is held.
#include "engine/optim/param_groups.h"

#include <barrier>
#include <cmath>
#include <map>
#include <thread>

#include <ATen/ATen.h>

#include "common/base/error.h"
#include "engine/checkpoint/reader.h"
#include "engine/optim/weight_mean.h"
#include "tests/unit/engine/small_run.h"

namespace seer::engine {
namespace {

using seer::testing::FailsWith;
using testing::RunSmall;
using testing::SmallConfig;

at::Tensor Random(at::IntArrayRef sizes, uint64_t seed) {
  return at::randn(sizes, at::detail::createCPUGenerator(seed), at::kFloat);
}

NamedTensor Parameter(const std::string& name, at::IntArrayRef sizes, uint64_t seed = 1) {
  return {name, Random(sizes, seed).requires_grad_()};
}

void SetGradients(const std::vector<NamedTensor>& parameters, uint64_t seed) {
  for (const NamedTensor& p : parameters)
    at::Tensor(p.tensor).mutable_grad() = Random(p.tensor.sizes(), seed++);
}

double Gap(const at::Tensor& a, const at::Tensor& b) {
  return (a.detach() - b.detach()).abs().max().item<double>();
}

std::vector<NamedTensor> Net() {
  return {Parameter("trunk.conv.weight", {4, 3, 2, 2}), Parameter("trunk.norm.bias", {4}),
          Parameter("projection_head.0.weight", {6, 4}), Parameter("projection_head.0.bias", {6}),
          Parameter("prototypes.weight", {5, 3})};
}

TEST(PatternDistance, IsZeroWhereTheWholeNameMatches) {
  for (const auto& [pattern, name, matches] :
       {std::tuple("*", "", true), std::tuple("", "", true), std::tuple("", "a", false),
        std::tuple("a.b", "a.b", true), std::tuple("a.b", "a.bc", false),
        std::tuple("a.b", "aXb", false), std::tuple("*.bias", "x.0.bias", true),
        std::tuple("*.bias", "x.bias.0", false), std::tuple("bias", "x.bias", false),
        std::tuple("head.*", "head.", true), std::tuple("head.*", "heads.0", false),
        std::tuple("a?c", "abc", true), std::tuple("a?c", "ac", false),
        std::tuple("*b*b", "abab", true), std::tuple("*b*b", "aba", false),
        std::tuple("a**c", "ac", true)}) {
    EXPECT_EQ(PatternDistance(pattern, name) == 0, matches) << pattern << " and " << name;
  }
  EXPECT_EQ(PatternDistance("projecton_head.*", "projection_head.0.weight"), 1u);
}

TEST(ApplyGroups, TheFirstGroupThatMatchesStandsAboveTheShape) {
  OptimConfig config;
  config.decay_norm_and_bias = false;
  config.groups = {{"projection_head.*.bias", 1, 0.5, true},
                   {"*.bias", 0.25, {}, {}},
                   {"projection_head.*", 3, {}, false},
                   {"prototypes*", 0, {}, {}}};
  ASSERT_OK_AND_ASSIGN(const auto parameters, ApplyGroups(Net(), config));
  ASSERT_EQ(parameters.size(), 5u);
  const auto& conv = parameters[0].rules;
  EXPECT_TRUE(conv.adapted && conv.lr_scale == 1 && !conv.weight_decay) << "no group has it";
  const auto& norm = parameters[1].rules;
  EXPECT_FALSE(norm.adapted);
  EXPECT_EQ(norm.lr_scale, 0.25);
  EXPECT_EQ(norm.weight_decay, 0);
  const auto& head = parameters[2].rules;
  EXPECT_FALSE(head.adapted);
  EXPECT_EQ(head.lr_scale, 3);
  EXPECT_FALSE(head.weight_decay.has_value());
  const auto& bias = parameters[3].rules;
  EXPECT_TRUE(bias.adapted) << "the group says so, though it is a bias";
  EXPECT_EQ(bias.weight_decay, 0.5);
  EXPECT_EQ(parameters[4].rules.lr_scale, 0);
}

TEST(ApplyGroups, AGroupWithoutParametersIsAnErrorThatNamesNearOnes) {
  OptimConfig config;
  config.groups = {{"*.bias"}, {"projecton_head.*"}};
  const absl::Status unknown = ApplyGroups(Net(), config).status();
  EXPECT_THAT(unknown, FailsWith(absl::StatusCode::kInvalidArgument, reason::kInvalidArgument,
                                 "projecton_head.*"));
  EXPECT_EQ(GetErrorDetail(unknown)->field, "optim.groups[1].match");
  EXPECT_THAT(GetErrorDetail(unknown)->hint, ::testing::HasSubstr("projection_head.0.weight"));
  config.groups = {{"*head*"}, {"*head.0.bias"}};
  const absl::Status shadowed = ApplyGroups(Net(), config).status();
  EXPECT_THAT(shadowed, FailsWith(absl::StatusCode::kInvalidArgument, reason::kInvalidArgument,
                                  "projection_head.0.bias of '*head*'"));
  EXPECT_EQ(GetErrorDetail(shadowed)->field, "optim.groups[1].match");
  TrainConfig job = SmallConfig();
  job.optim.groups = {{"prototype"}};
  EXPECT_THAT(TrainSession::Create(job, {}), FailsWith(absl::StatusCode::kInvalidArgument,
                                                       reason::kInvalidArgument, "'prototype'"));
}

struct KindCase {
  const char* name;
  OptimConfig config;
};

// With `clip`, LARC's trust lies between the rates below: one of them is cut, the other is not.
OptimConfig Kind(OptimizerKind kind, bool larc = false, bool clip = false) {
  OptimConfig config;
  config.kind = kind;
  config.weight_decay = 0.02;
  config.larc = {larc, clip ? 0.3 : 0.02, clip, 1e-8};
  config.lars.trust = 0.02;
  return config;
}

class EachKind : public ::testing::TestWithParam<KindCase> {};

// Three steps of one parameter under `config`.
at::Tensor Trained(const OptimConfig& config, double learning_rate) {
  const std::vector<NamedTensor> parameters = {Parameter("w", {6, 5})};
  const auto optimizer = MakeOptimizer(testing::WithRules(parameters, config), config);
  for (uint64_t step = 0; step < 3; ++step) {
    SetGradients(parameters, 10 + step);
    optimizer->Step(FixedRates(config, learning_rate));
  }
  return parameters[0].tensor.detach();
}

TEST_P(EachKind, AGroupsScaleAndDecayAreThoseOfAJobOfItsOwn) {
  OptimConfig grouped = GetParam().config, own = grouped;
  grouped.groups = {{"w", 0.5, 0.3, {}}};
  own.weight_decay = 0.3;
  const at::Tensor expected = Trained(own, 0.2);
  EXPECT_LT(Gap(Trained(grouped, 0.4), expected), 1e-6);
  grouped.groups[0].lr_scale = 1;
  EXPECT_GT(Gap(Trained(grouped, 0.4), expected), 1e-5);
  grouped.groups[0].weight_decay.reset();
  EXPECT_GT(Gap(Trained(grouped, 0.2), expected), 1e-5);
}

TEST_P(EachKind, AScaleOf0LeavesTheParameterAndCountsInNoNorm) {
  OptimConfig config = GetParam().config;
  const std::vector<NamedTensor> parameters = {Parameter("a", {4, 3}), Parameter("b", {4, 3})};
  SetGradients(parameters, 3);
  const double norm_of_b = parameters[1].tensor.grad().norm().item<double>();
  config.groups = {{"a", 0, {}, {}}};
  const auto ruled = testing::WithRules(parameters, config);
  EXPECT_NEAR(GradientNorm(ruled), norm_of_b, 1e-5);
  MakeOptimizer(ruled, config)->Step(FixedRates(config, 0.3));
  EXPECT_TRUE(parameters[0].tensor.detach().equal(Random({4, 3}, 1)));
  EXPECT_GT(Gap(parameters[1].tensor, Random({4, 3}, 1)), 1e-5);
}

// Sums over the threads that call it together.
class ThreadSums {
 public:
  explicit ThreadSums(int threads) : meeting_(threads), parts_(static_cast<size_t>(threads)) {}
  NormSums Of(size_t thread) {
    return [this, thread](std::vector<double>& squares) {
      parts_[thread] = squares;
      meeting_.arrive_and_wait();
      for (size_t other = 0; other < parts_.size(); ++other) {
        if (other == thread) continue;
        ASSERT_EQ(parts_[other].size(), squares.size());
        for (size_t i = 0; i < squares.size(); ++i) squares[i] += parts_[other][i];
      }
      meeting_.arrive_and_wait();
    };
  }

 private:
  std::barrier<> meeting_;
  std::vector<std::vector<double>> parts_;
};

// Elements of `whole` that the holder of a piece has: of three, the second has none of small ones.
at::Tensor Piece(const at::Tensor& whole, size_t holder) {
  const at::Tensor flat = whole.detach().flatten();
  const int64_t n = flat.numel(), cuts[] = {0, n / 3, n < 10 ? n / 3 : 2 * n / 3, n};
  return flat.slice(0, cuts[holder], cuts[holder + 1]).clone();
}

TEST_P(EachKind, PiecesOfParametersMoveAsTheWhole) {
  constexpr size_t kHolders = 3;
  constexpr double kClip = 3;
  OptimConfig config = GetParam().config;
  config.decay_norm_and_bias = false;
  config.groups = {{"*head*.weight", 2, 0.1, {}}};
  const auto train = [&](const std::vector<OptimParameter>& parameters, const NormSums& sums,
                         const std::function<void(uint64_t)>& gradients) {
    const auto optimizer = MakeOptimizer(parameters, config, sums);
    WeightMean mean(parameters, 0.5);
    std::vector<double> norms;
    for (uint64_t step = 0; step < 4; ++step) {
      gradients(step);
      norms.push_back(GradientNorm(parameters, sums));
      ClipGradients(parameters, norms.back(), kClip);
      optimizer->Step(FixedRates(config, 0.3));
      mean.Update();
    }
    std::vector<at::Tensor> result = {at::tensor(norms)};
    for (const auto& p : parameters) result.push_back(p.tensor.detach());
    for (const NamedTensor& s : mean.State()) result.push_back(s.tensor);
    for (const NamedTensor& s : optimizer->State()) result.push_back(s.tensor);
    return result;
  };
  const std::vector<NamedTensor> net = Net();
  std::vector<std::vector<at::Tensor>> gradients;  // of each step, as the steps use them up
  const std::vector<OptimParameter> whole = testing::WithRules(net, config);
  std::vector<std::vector<OptimParameter>> pieces(kHolders, whole);
  for (size_t holder = 0; holder < kHolders; ++holder) {
    for (auto& p : pieces[holder]) p.tensor = Piece(p.tensor, holder).requires_grad_();
  }
  const std::vector<at::Tensor> expected = train(whole, {}, [&](uint64_t step) {
    SetGradients(net, 100 * step);
    auto& of_step = gradients.emplace_back();
    for (const NamedTensor& p : net) of_step.push_back(p.tensor.grad().clone());
  });
  EXPECT_GT(expected[0].max().item<double>(), kClip);
  ThreadSums sums(kHolders);
  std::vector<std::thread> holders;
  for (size_t holder = 0; holder < kHolders; ++holder) {
    holders.emplace_back([&, holder] {
      auto& own = pieces[holder];
      const std::vector<at::Tensor> actual = train(own, sums.Of(holder), [&](uint64_t step) {
        for (size_t i = 0; i < own.size(); ++i)
          own[i].tensor.mutable_grad() = Piece(gradients[step][i], holder);
      });
      ASSERT_EQ(actual.size(), expected.size());
      EXPECT_LT(Gap(actual[0], expected[0]), 1e-5);
      for (size_t i = 1; i < actual.size(); ++i) {
        const at::Tensor piece = expected[i].dim() == 0 ? expected[i] : Piece(expected[i], holder);
        ASSERT_EQ(actual[i].sizes(), piece.sizes()) << i;
        if (piece.numel() > 0) EXPECT_LT(Gap(actual[i], piece), 1e-5) << i;
      }
    });
  }
  for (std::thread& holder : holders) holder.join();
}

INSTANTIATE_TEST_SUITE_P(Kinds, EachKind,
                         ::testing::Values(KindCase{"sgd", Kind(OptimizerKind::kSgd)},
                                           KindCase{"larc", Kind(OptimizerKind::kSgd, true)},
                                           KindCase{"clip", Kind(OptimizerKind::kSgd, true, true)},
                                           KindCase{"lars", Kind(OptimizerKind::kLars)},
                                           KindCase{"adamw", Kind(OptimizerKind::kAdamW)}),
                         [](const auto& info) { return std::string(info.param.name); });

TEST(TrainSession, AFrozenGroupStaysAndTheOthersTrain) {
  TrainConfig config = SmallConfig();
  config.swav.freeze_prototypes_steps = 0;
  config.optim.groups = {{"trunk_output.*", 0, {}, {}}, {"stem.*", 0, {}, {}}};
  const auto store = MakeMemoryStore();
  std::map<int64_t, LoadedCheckpoint> after;
  for (const int64_t steps : {0, 3}) {
    const std::string prefix = absl::StrCat("at-", steps);
    RunSmall(config, {.until = steps, .save_to = prefix, .store = store.get()});
    ASSERT_OK_AND_ASSIGN(after[steps], ReadCheckpoint(*store, prefix));
  }
  for (const auto& [name, moves] :
       {std::pair("stem.0.weight", false),
        std::pair("trunk_output.block1.block1-0.f.a.0.weight", false),
        std::pair("projection_head.0.weight", true), std::pair("prototypes.weight", true)}) {
    EXPECT_EQ(after[0].tensors.at(name).equal(after[3].tensors.at(name)), !moves) << name;
  }
}

}  // namespace
}  // namespace seer::engine
