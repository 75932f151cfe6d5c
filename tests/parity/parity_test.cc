// The engine's numerics against the goldens of make_goldens.py: reference implementations in
// float64. The engine works in float32, so 1e-4 of the largest number of each tensor is asked for.
#include <fstream>
#include <map>
#include <string>

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "engine/augment/color.h"
#include "engine/nn/sync_batch_norm.h"
#include "engine/nn/trunk.h"
#include "engine/optim/optimizer.h"
#include "engine/optim/schedule.h"
#include "engine/optim/sgd.h"
#include "engine/parallel/communicator.h"
#include "engine/parallel/executor.h"
#include "engine/ssl/sinkhorn.h"
#include "engine/ssl/swav_loss.h"
#include "tests/parity/golden.h"
#include "tests/unit/engine/small_run.h"

namespace seer::engine {
namespace {

using testing::ExpectNear;
using testing::Golden;

TEST(Parity, SinkhornAndSwavLoss) {
  const Golden golden("swav");
  const auto solo = MakeSoloCommunicator();
  const at::Tensor features = golden["features"].requires_grad_(),
                   prototypes = golden["prototypes"].requires_grad_();
  const at::Tensor scores = at::matmul(features, prototypes.t());
  const at::Tensor codes = Sinkhorn(scores.detach().narrow(0, 0, 2), {0.05, 3}, *solo).codes;
  ExpectNear(codes, golden["codes"], "codes");
  const at::Tensor loss = SwavLoss(scores, codes, 0.1);
  torch::autograd::backward({loss});
  ExpectNear(loss, golden["loss"], "loss");
  ExpectNear(features.grad(), golden["features_grad"], "gradient of the features");
  ExpectNear(prototypes.grad(), golden["prototypes_grad"], "gradient of the prototypes");
}

TEST(Parity, SinkhornOverThreeRanks) {
  const Golden golden("swav");
  const at::Tensor scores =
      at::matmul(golden["features"], golden["prototypes"].t()).narrow(0, 0, 2);
  testing::OnRanks(3, [&](const RankConfig& rank) {
    const auto gang = JoinGang(
        {rank.rank, 3, rank.store_host, rank.store_port, rank.store_listen_fd, "parity", 60});
    const int64_t first[] = {0, 5, 6}, count[] = {5, 1, 6};
    const auto cut = [&](const at::Tensor& t) {
      return t.narrow(1, first[rank.rank], count[rank.rank]);
    };
    ExpectNear(Sinkhorn(cut(scores), {0.05, 3}, gang->world()).codes, cut(golden["codes"]),
               "codes");
  });
}

TEST(Parity, OptimizerSteps) {
  const Golden golden("larc");
  struct Case {
    const char* name;
    bool larc, clip, nesterov;
  };
  for (const Case& c : {Case{"scale", true, false, false},
                        {"clip", true, true, false},
                        {"sgd", false, false, false},
                        {"nesterov", false, false, true}}) {
    OptimConfig config;
    config.momentum = 0.9;
    config.weight_decay = 1e-2;
    config.nesterov = c.nesterov;
    config.larc = {c.larc, 0.02, c.clip, 1e-8};
    std::vector<NamedTensor> parameters;
    for (const std::string& name : golden.Under("start/")) {
      parameters.push_back({name, golden["start/" + name].requires_grad_()});
    }
    ASSERT_EQ(parameters.size(), 4u);
    Sgd sgd(testing::WithRules(parameters, config), config);
    const double rates[] = {0.3, 0.5, 0.2};
    for (int step = 0; step < 3; ++step) {
      for (NamedTensor& p : parameters)
        p.tensor.mutable_grad() = golden[absl::StrCat("grad", step, "/", p.name)];
      sgd.Step(FixedRates(config, rates[step]));
    }
    for (const NamedTensor& p : parameters) {
      ExpectNear(p.tensor, golden[absl::StrCat(c.name, "/", p.name)],
                 absl::StrCat(c.name, " ", p.name));
    }
  }
}

// Ten steps, of which the first three leave one parameter frozen.
TEST(Parity, AdamWAndLarsWithAndWithoutClipping) {
  const Golden golden("optimizers");
  struct Case {
    std::string name;
    OptimizerKind kind;
    bool decay_norm_and_bias, clip;
    std::vector<std::string> state;
  };
  const std::vector<std::string> moments = {"exp_avg", "exp_avg_sq", "step"};
  for (const Case& c : {Case{"adamw", OptimizerKind::kAdamW, true, false, moments},
                        {"adamw_exclude", OptimizerKind::kAdamW, false, false, moments},
                        {"adamw_clip", OptimizerKind::kAdamW, true, true, moments},
                        {"lars", OptimizerKind::kLars, true, false, {"momentum"}},
                        {"lars_exclude", OptimizerKind::kLars, false, false, {"momentum"}},
                        {"lars_clip", OptimizerKind::kLars, false, true, {"momentum"}}}) {
    OptimConfig config;
    config.kind = c.kind;
    config.momentum = 0.9;
    config.weight_decay = 0.03;
    config.decay_norm_and_bias = c.decay_norm_and_bias;
    config.lars.trust = 0.02;
    config.adamw = {0.8, 0.95, 1e-6};
    std::vector<NamedTensor> parameters;
    for (const std::string& name : golden.Under("start/"))
      parameters.push_back({name, golden["start/" + name].requires_grad_()});
    ASSERT_EQ(parameters.size(), 5u);
    const std::vector<OptimParameter> ruled = testing::WithRules(parameters, config);
    const auto optimizer = MakeOptimizer(ruled, config);
    for (int64_t step = 0; step < 10; ++step) {
      std::vector<bool> frozen;
      for (NamedTensor& p : parameters) {
        frozen.push_back(p.name == "frozen" && step < 3);
        p.tensor.mutable_grad() = golden[absl::StrCat("grad", step, "/", p.name)];
        if (frozen.back()) p.tensor.mutable_grad().zero_();  // as the training step does
      }
      if (c.clip) {
        const double norm = GradientNorm(ruled);
        EXPECT_NEAR(norm, golden["norms"][step].item<double>(), 1e-5 * norm) << step;
        ClipGradients(ruled, norm, 8);
      }
      optimizer->Step(FixedRates(config, golden["lr"][step].item<double>()), frozen);
    }
    for (const NamedTensor& p : parameters)
      ExpectNear(p.tensor, golden[c.name + "/" + p.name], c.name + " " + p.name);
    ASSERT_EQ(optimizer->State().size(), c.state.size() * parameters.size());
    for (const NamedTensor& s : optimizer->State())
      ExpectNear(s.tensor, golden[c.name + "_" + s.name], c.name + " " + s.name);
  }
}

TEST(Parity, Schedule) {
  const at::Tensor golden = Golden("schedule")["lr"];
  OptimConfig config;
  config.base_lr = 4.8;
  config.start_lr = 0.3;
  config.final_lr = 0.0048;
  config.warmup_steps = 10;
  config.total_steps = 50;
  for (int64_t step = 0; step < 50; ++step) {
    EXPECT_NEAR(LearningRate(config, step), golden[step].item<double>(), 1e-6) << step;
  }
}

struct TrunkCase {
  std::string golden;
  TrunkConfig config;
  bool recompute = false;
};

TrunkConfig SmallRegnet() { return {{3, 16, 16, 2.0, 8, 0.25}, 2, std::nullopt}; }
TrunkConfig SmallResnet() { return {{}, 2, ResnetParams{{2, 1, 1, 1}, 2, 32, 4}}; }

class TrunkParity : public ::testing::TestWithParam<TrunkCase> {};

TEST_P(TrunkParity, ForwardBackwardAndStatistics) {
  const Golden golden(GetParam().golden);
  const Initializer init(1);
  const auto solo = MakeSoloCommunicator();
  auto trunk = BuildTrunk(GetParam().config, {init, *solo});
  ASSERT_TRUE(trunk.ok());
  std::map<std::string, at::Tensor> parameters, buffers;
  for (const auto& segment : trunk->chain) {
    for (const NamedTensor& p : segment->parameters()) parameters.emplace(p.name, p.tensor);
    for (const NamedTensor& b : segment->buffers()) buffers.emplace(b.name, b.tensor);
  }
  ASSERT_EQ(parameters.size(), golden.Under("weight/").size());
  ASSERT_EQ(buffers.size(), golden.Under("buffer/").size());
  for (auto& [name, tensor] : parameters) tensor.detach().copy_(golden["weight/" + name]);

  UnitWalk weights;
  ChainExecutor executor(trunk->chain, weights,
                         std::vector<bool>(trunk->chain.size(), GetParam().recompute));
  const auto input = [&](const char* name) {
    return golden[name].contiguous(at::MemoryFormat::ChannelsLast);
  };
  const std::vector<at::Tensor> outputs = executor.Forward({input("x0"), input("x1")});
  executor.Backward({golden["dy0"], golden["dy1"]});
  executor.CommitStatistics();
  ExpectNear(outputs[0], golden["y0"], "output of the first resolution");
  ExpectNear(outputs[1], golden["y1"], "output of the second resolution");
  for (const auto& [name, tensor] : parameters)
    ExpectNear(tensor.grad(), golden["grad/" + name], name);
  for (const auto& [name, tensor] : buffers) ExpectNear(tensor, golden["buffer/" + name], name);
  ExpectNear(executor.Evaluate(input("x0")), golden["eval"], "evaluation");
}

INSTANTIATE_TEST_SUITE_P(Families, TrunkParity,
                         ::testing::Values(TrunkCase{"regnet", SmallRegnet(), false},
                                           TrunkCase{"regnet", SmallRegnet(), true},
                                           TrunkCase{"resnet", SmallResnet(), false},
                                           TrunkCase{"resnet", SmallResnet(), true}),
                         [](const auto& info) {
                           return info.param.golden + (info.param.recompute ? "Recomputed" : "");
                         });

// Every parameter and buffer of the presets, by name and shape, as torchvision's state_dict.
TEST(Parity, ResnetNamesAndShapes) {
  std::map<std::string, std::map<std::string, std::string>> golden, built;
  std::ifstream file(SEER_GOLDEN_DIR "/resnet_names.txt");
  for (std::string preset, name, shape; file >> preset >> name >> shape;)
    golden[preset][name] = shape;
  ASSERT_EQ(golden.size(), 3u);
  const Initializer init(1);
  const auto solo = MakeSoloCommunicator();
  for (const auto& [preset, tensors] : golden) {
    const auto trunk = BuildTrunk(*TrunkPreset(preset), {init, *solo});
    ASSERT_TRUE(trunk.ok()) << preset;
    const auto add = [&built, &preset = preset](const std::vector<NamedTensor>& list) {
      for (const NamedTensor& t : list)
        built[preset][t.name] = absl::StrJoin(t.tensor.sizes().vec(), "x");
    };
    for (const auto& segment : trunk->chain) {
      add(segment->parameters());
      add(segment->buffers());
    }
    EXPECT_EQ(built[preset], tensors) << preset;
  }
}

TEST(Parity, SyncedNormOverUnevenRanks) {
  const Golden golden("norm");
  const Initializer init(1);
  at::Tensor dweight[3], dbias[3];
  testing::OnRanks(3, [&](const RankConfig& rank) {
    const auto gang = JoinGang(
        {rank.rank, 3, rank.store_host, rank.store_port, rank.store_listen_fd, "parity", 60});
    const int64_t first[] = {0, 4, 5}, count[] = {4, 1, 3};
    const auto cut = [&](const char* name) {
      return golden[name].narrow(0, first[rank.rank], count[rank.rank]);
    };
    SyncBatchNorm norm("n", 6, init, gang->Group(0, "norms"));
    std::vector<NamedTensor> parameters, buffers;
    norm.AppendTo(parameters, buffers);
    parameters[0].tensor.detach().copy_(golden["weight"]);
    parameters[1].tensor.detach().copy_(golden["bias"]);
    NormMemory memory;
    Pass pass{PassMode::kTrain, &memory};
    const at::Tensor x = cut("x").contiguous(at::MemoryFormat::ChannelsLast).requires_grad_();
    const at::Tensor y = norm.Forward(x, pass);
    torch::autograd::backward({y}, {cut("dy")});
    const at::NoGradGuard no_grad;
    RunningUpdate update;
    norm.AppendRunning(memory.entries[0], update);
    update.Apply();
    ExpectNear(y, cut("y"), "y");
    ExpectNear(x.grad(), cut("dx"), "dx");
    ExpectNear(buffers[0].tensor, golden["running_mean"], "running mean");
    ExpectNear(buffers[1].tensor, golden["running_var"], "running variance");
    dweight[rank.rank] = parameters[0].tensor.grad();
    dbias[rank.rank] = parameters[1].tensor.grad();
  });
  ExpectNear(dweight[0] + dweight[1] + dweight[2], golden["dweight"], "dweight");
  ExpectNear(dbias[0] + dbias[1] + dbias[2], golden["dbias"], "dbias");
}

TEST(Parity, Colour) {
  const Golden golden("color");
  const at::Tensor x = golden["x"], factors = golden["factors"];
  ExpectNear(AdjustBrightness(x, factors), golden["brightness"], "brightness");
  ExpectNear(AdjustContrast(x, factors), golden["contrast"], "contrast");
  ExpectNear(AdjustSaturation(x, factors), golden["saturation"], "saturation");
  ExpectNear(AdjustHue(x, golden["shifts"]), golden["hue"], "hue");
  ExpectNear(Grey(x), golden["grey"], "grey");
  ExpectNear(Solarize(x, 0.5), golden["solarize"], "solarize");
  const auto interior = [](const at::Tensor& t) { return t.narrow(2, 2, 5).narrow(3, 2, 3); };
  ExpectNear(interior(GaussianBlur(x, at::full({4}, 0.8f), 2)), interior(golden["blur"]), "blur");
}

// `actual` in [0, 1], `golden` in levels.
void ExpectLevels(const at::Tensor& actual, const at::Tensor& golden, double mean, double most,
                  const std::string& what) {
  const at::Tensor gap = (actual.mul(255) - golden).abs();
  EXPECT_LE(gap.mean().item<double>(), mean) << what;
  EXPECT_LE(gap.max().item<double>(), most) << what;
}

// What is allowed is PIL's rounding to levels: half a level where it rounds, one where it cuts, and
// that of an intermediate image, times the factor; greyish pixels lose much of their hue in 8 bits.
// Its blur is three box filters, each of which extends the border anew: near it the two differ
// more.
TEST(Parity, ColourBesidePil) {
  const Golden golden("pil");
  const at::Tensor x = golden["x"].div(255), factors = golden["factors"];
  ExpectLevels(AdjustBrightness(x, factors), golden["brightness"], 0.5, 1, "brightness");
  ExpectLevels(AdjustContrast(x, factors), golden["contrast"], 0.5, 1.5, "contrast");
  ExpectLevels(AdjustSaturation(x, factors), golden["saturation"], 0.5, 1.5, "saturation");
  ExpectLevels(AdjustHue(x, golden["shifts"]), golden["hue"], 1, 12, "hue");
  ExpectLevels(Grey(x).expand_as(x), golden["grey"], 0.5, 1, "grey");
  ExpectLevels(Solarize(x, 0.5), golden["solarize"], 0.01, 0.01, "solarize");
  const at::Tensor blurred = GaussianBlur(x, golden["sigmas"], 6);
  ExpectLevels(blurred, golden["blur"], 1, 15, "blur");
  const auto interior = [](const at::Tensor& t) { return t.narrow(2, 4, 16).narrow(3, 4, 16); };
  ExpectLevels(interior(blurred), interior(golden["blur"]), 0.6, 2.5, "blur away from the border");
}

}  // namespace
}  // namespace seer::engine
