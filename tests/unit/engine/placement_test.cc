// Where parameters lie changes nothing but memory: sharded, hybrid and offloaded runs against
// replicated ones, and batches in parts against batches over more ranks.
#include "engine/parallel/placement.h"

#include <map>
#include <tuple>

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "engine/arch/trunk_design.h"
#include "engine/checkpoint/reader.h"
#include "engine/nn/deferred.h"
#include "engine/train/network.h"
#include "engine/train/step.h"
#include "tests/unit/engine/small_run.h"

namespace seer::engine {
namespace {

using testing::LargestLossGap;
using testing::OnRanks;
using testing::RunSmall;
using testing::SmallBatch;
using testing::SmallConfig;

std::map<std::string, at::Tensor> StateOf(ObjectStore& store, const std::string& prefix) {
  auto loaded = ReadCheckpoint(store, prefix);
  EXPECT_TRUE(loaded.ok()) << loaded.status();
  return loaded.ok() ? loaded->tensors : std::map<std::string, at::Tensor>();
}

// A bias in front of a norm layer: the gradient is zero but for rounding, whatever is done with it.
bool IsRounding(const std::string& name) {
  return name.ends_with("projection_head.0.bias") || name == "projection_head.1.running_mean";
}

// `tolerance`: relative to each tensor's largest element; 0: bit for bit.
void ExpectSameState(ObjectStore& store, const std::string& a, const std::string& b,
                     double tolerance) {
  const auto left = StateOf(store, a), right = StateOf(store, b);
  ASSERT_EQ(left.size(), right.size());
  for (const auto& [name, tensor] : left) {
    ASSERT_TRUE(right.contains(name)) << name;
    const at::Tensor& other = right.at(name);
    ASSERT_EQ(tensor.sizes(), other.sizes()) << name;
    if (tolerance == 0) {
      EXPECT_TRUE(tensor.equal(other)) << name;
    } else if (!IsRounding(name)) {
      const double scale = tensor.abs().max().item<double>();
      EXPECT_LE((tensor - other).abs().max().item<double>(), tolerance * scale + 1e-7) << name;
    }
  }
}

struct Placement {
  const char* name;
  int world;
  int group;
  bool offload;
};

class ShardedEqualsReplicated : public ::testing::TestWithParam<Placement> {};

TEST_P(ShardedEqualsReplicated, InEveryOptimiser) {
  const Placement& placement = GetParam();
  for (const OptimizerKind kind :
       {OptimizerKind::kSgd, OptimizerKind::kLars, OptimizerKind::kAdamW}) {
    for (const bool larc : {false, true}) {
      if (larc && kind != OptimizerKind::kSgd) continue;
      TrainConfig config = SmallConfig();
      config.optim.kind = kind;
      config.optim.larc.enabled = larc;
      config.optim.ema_decay = 0.5;
      config.optim.clip_norm = larc ? 0.5 : 0;
      config.optim.base_lr = kind == OptimizerKind::kAdamW ? 1e-3 : 0.1;
      config.swav.queue_length = 32;
      config.swav.freeze_prototypes_steps = 1;
      if (larc) config.memory.recompute = MemoryConfig::Recompute::kAll;
      SCOPED_TRACE(::testing::Message() << OptimizerName(kind) << " larc " << larc);
      const auto store = MakeMemoryStore();
      // Few steps: rates by layer and by element blow up the rounding of layers that hardly move.
      const testing::RunOptions run = {
          .world_size = placement.world, .until = 2, .save_to = "replicated", .store = store.get()};
      const auto expected = RunSmall(config, run);
      config.distributed.shard_group_size = placement.group;
      config.memory.offload_optimizer = placement.offload;
      auto sharded = run;
      sharded.save_to = "sharded";
      const auto reports = RunSmall(config, sharded);
      // Two ranks add in one order only; norms over pieces add in another than norms over wholes.
      const bool exact = placement.world <= 2 && kind == OptimizerKind::kSgd && !larc;
      const double tolerance = exact ? 0 : 1e-4;
      EXPECT_LE(LargestLossGap(reports, expected), exact ? 0 : 1e-5);
      ExpectSameState(*store, "replicated", "sharded", tolerance);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Placements, ShardedEqualsReplicated,
                         ::testing::Values(Placement{"OneRankOffloaded", 1, 1, true},
                                           Placement{"TwoRanks", 2, 0, false},
                                           Placement{"TwoRanksOffloaded", 2, 2, true},
                                           Placement{"FourRanks", 4, 0, false},
                                           Placement{"Hybrid", 4, 2, false}),
                         [](const auto& info) { return info.param.name; });

TEST(Sharded, ACheckpointGoesOnInAnyPlacement) {
  TrainConfig config = SmallConfig();
  config.optim.ema_decay = 0.9;
  const auto store = MakeMemoryStore();
  TrainConfig sharded = config;
  sharded.distributed.shard_group_size = 0;
  const auto run = [&](const TrainConfig& with, int world, int64_t until, const char* from,
                       const char* to) {
    return RunSmall(with, {.world_size = world,
                           .until = until,
                           .restore_from = from,
                           .save_to = to,
                           .store = store.get()});
  };
  run(config, 1, 6, "", "whole");
  run(sharded, 2, 2, "", "sharded at 2");
  run(config, 1, 4, "sharded at 2", "replicated at 4");
  TrainConfig hybrid = config;
  hybrid.distributed.shard_group_size = 2;
  hybrid.memory.offload_optimizer = true;
  run(hybrid, 4, 6, "replicated at 4", "hybrid at 6");
  ExpectSameState(*store, "whole", "hybrid at 6", 1e-3);
  // Restoring alone loses nothing.
  run(hybrid, 4, 6, "hybrid at 6", "again");
  ExpectSameState(*store, "hybrid at 6", "again", 0);
}

TEST(Sharded, ARefusedStepLeavesNoTrace) {
  TrainConfig config = SmallConfig();
  config.distributed.shard_group_size = 0;
  config.optim.base_lr = config.optim.start_lr = 1e30;
  const auto store = MakeMemoryStore();
  const auto reports =
      RunSmall(config, {.world_size = 2, .until = 2, .save_to = "two", .store = store.get()});
  RunSmall(config, {.world_size = 2, .until = 3, .save_to = "three", .store = store.get()});
  ASSERT_FALSE(reports[0].skipped);
  ASSERT_TRUE(reports[1].skipped);
  const auto two = StateOf(*store, "two"), three = StateOf(*store, "three");
  for (const auto& [name, tensor] : two) {
    if (name.find("prototypes") != std::string::npos) continue;  // normalised as a step begins
    EXPECT_TRUE(tensor.equal(three.at(name))) << name;
  }
}

TEST(Sharded, WeightsHaveMemoryOnlyWhileTheyAreUsed) {
  TrainConfig config = SmallConfig();
  config.distributed.shard_group_size = 0;
  OnRanks(4, [&](const RankConfig& rank) {
    const auto gang = JoinGang(
        {rank.rank, 4, rank.store_host, rank.store_port, rank.store_listen_fd, "memory", 60});
    ASSERT_OK_AND_ASSIGN(const auto step, TrainStep::Create(config, *gang));
    for (int i = 0; i < 2; ++i) {
      int64_t all = 0, own = 0;
      for (const NamedTensor& p : step->network().Parameters()) {
        all += p.tensor.numel();
        EXPECT_EQ(p.tensor.storage().nbytes(), 0u) << p.name << " after " << i << " steps";
      }
      for (const NamedTensor& piece : step->placement().own()) {
        own += piece.tensor.numel();
        EXPECT_EQ(piece.tensor.grad().numel(), piece.tensor.numel());
      }
      EXPECT_LT(own, all * 2 / 5);
      step->Run(SmallBatch(config, i, rank.rank, 4));
    }
  });
}

TEST(Accumulation, PartsOfOneRankAreAsRanksWithNormsOfTheirOwn) {
  TrainConfig ranks = SmallConfig();
  ranks.distributed.sync_bn_group_size = 1;
  ranks.swav.queue_length = 32;
  TrainConfig parts = ranks;
  parts.accumulation_steps = 2;
  for (const auto recompute : {MemoryConfig::Recompute::kNone, MemoryConfig::Recompute::kAll}) {
    parts.memory.recompute = recompute;
    const auto store = MakeMemoryStore();
    const auto expected =
        RunSmall(ranks, {.world_size = 2, .until = 4, .save_to = "ranks", .store = store.get()});
    const auto reports = RunSmall(parts, {.until = 4, .save_to = "parts", .store = store.get()});
    EXPECT_LE(LargestLossGap(reports, expected), 1e-5);
    const auto a = StateOf(*store, "ranks"), b = StateOf(*store, "parts");
    for (const auto& [name, tensor] : a) {
      // Those of rank 0 there, of both parts here.
      if (name.find("running_") != std::string::npos || IsRounding(name)) continue;
      EXPECT_TRUE(tensor.allclose(b.at(name), 1e-3, 1e-5)) << name;
    }
  }
}

TEST(Accumulation, TheStatisticsOfAllPartsAreThoseOfTheBatch) {
  TrainConfig config = SmallConfig();
  const auto store = MakeMemoryStore();
  RunSmall(config, {.until = 1, .save_to = "whole", .store = store.get()});
  config.accumulation_steps = 4;
  RunSmall(config, {.until = 1, .save_to = "parts", .store = store.get()});
  const auto whole = StateOf(*store, "whole"), parts = StateOf(*store, "parts");
  int seen = 0;
  for (const char* name : {"stem.1.running_mean", "stem.1.running_var"}) {  // no norm comes before
    for (const auto& [key, tensor] : whole) {
      if (key.find(name) == std::string::npos) continue;
      ++seen;
      EXPECT_TRUE(tensor.allclose(parts.at(key), 1e-5, 1e-6)) << key;
    }
  }
  EXPECT_EQ(seen, 2);
}

TEST(Accumulation, AndShardsTogether) {
  TrainConfig config = SmallConfig();
  config.accumulation_steps = 2;
  const auto store = MakeMemoryStore();
  const auto expected =
      RunSmall(config, {.world_size = 2, .until = 3, .save_to = "a", .store = store.get()});
  config.distributed.shard_group_size = 0;
  const auto reports =
      RunSmall(config, {.world_size = 2, .until = 3, .save_to = "b", .store = store.get()});
  EXPECT_LE(LargestLossGap(reports, expected), 1e-5);
  ExpectSameState(*store, "a", "b", 1e-4);
}

TEST(Prototypes, TheLossIsTheMeanOverAllLayers) {
  TrainConfig one = SmallConfig(), two = one;
  two.head.extra_prototypes = {one.head.prototypes};
  const auto gang = JoinGang({});
  ASSERT_OK_AND_ASSIGN(const auto single, TrainStep::Create(one, *gang));
  ASSERT_OK_AND_ASSIGN(const auto both, TrainStep::Create(two, *gang));
  ASSERT_EQ(both->network().prototypes.size(), 2u);
  EXPECT_EQ(both->network().prototypes[0].name, "prototypes.prototypes0.weight");
  EXPECT_EQ(both->network().prototypes[1].name, "prototypes.prototypes1.weight");
  {
    const at::NoGradGuard no_grad;
    for (NamedTensor& layer : both->network().prototypes)
      layer.tensor.copy_(single->network().prototypes[0].tensor);
  }
  EXPECT_NEAR(both->Run(SmallBatch(two, 0, 0, 1)).loss, single->Run(SmallBatch(one, 0, 0, 1)).loss,
              1e-6);
  // From here on the layers move alike, each by half of the single one's gradient.
  EXPECT_TRUE(both->network().prototypes[0].tensor.equal(both->network().prototypes[1].tensor));
}

// No memory is needed to build what no machine has the memory for.
TEST(Deferred, TheLargestTrunksAreBuiltWithoutMemory) {
  const auto solo = MakeSoloCommunicator();
  for (const auto& [preset, millions] :
       {std::pair("regnety_128gf", 637.42), std::pair("regnety_256gf", 1272.16),
        std::pair("regnety_10b", 9323.93)}) {
    TrainConfig config;
    ASSERT_OK_AND_ASSIGN(config.trunk, TrunkPreset(preset));
    DeferredWeights deferred;
    ASSERT_OK_AND_ASSIGN(const Network network, BuildNetwork(config, *solo, &deferred));
    int64_t trunk = 0, bytes = 0;
    for (size_t i = 0; i < network.trunk_segments; ++i) {
      for (const NamedTensor& p : network.chain[i]->parameters()) {
        trunk += p.tensor.numel();
        bytes += static_cast<int64_t>(p.tensor.storage().nbytes());
      }
    }
    EXPECT_NEAR(static_cast<double>(trunk) * 1e-6, millions, 0.005) << preset;
    EXPECT_EQ(bytes, 0) << preset;
  }
}

}  // namespace
}  // namespace seer::engine
