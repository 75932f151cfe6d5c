// Trunks as they are built, of both families: against the arithmetic of arch/, and trained.
#include "engine/nn/trunk.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <cmath>
#include <map>

#include "engine/train/config_check.h"
#include "tests/unit/engine/small_run.h"

namespace seer::engine {
namespace {

using testing::CheckpointBytes;
using testing::RunSmall;
using testing::SmallConfig;

TrainConfig SmallResnetConfig() {
  TrainConfig config = SmallConfig();
  config.trunk.resnet = ResnetParams{{1, 2, 1, 1}, 2, 32, 8};  // widths 32, 64, 128, 256
  return config;
}

// Parameters segment by segment, and the size of every segment's input.
void ExpectBuiltAsCounted(const TrunkConfig& config, int image_size) {
  const Initializer init(1);
  const auto solo = MakeSoloCommunicator();
  ASSERT_OK_AND_ASSIGN(const Trunk trunk, BuildTrunk(config, {init, *solo}));
  ASSERT_OK_AND_ASSIGN(const TrunkCost cost, CountTrunk(config, image_size));
  ASSERT_OK_AND_ASSIGN(const std::vector<TrunkStage> stages, TrunkStages(config));
  ASSERT_EQ(trunk.chain.size(), cost.segments.size());
  const at::NoGradGuard no_grad;
  at::Tensor x = at::zeros({1, 3, image_size, image_size});
  int64_t all = 0;
  for (size_t i = 0; i < trunk.chain.size(); ++i) {
    int64_t parameters = 0;
    for (const NamedTensor& p : trunk.chain[i]->parameters()) parameters += p.tensor.numel();
    EXPECT_EQ(parameters, cost.segments[i].parameters) << trunk.chain[i]->name();
    EXPECT_EQ(static_cast<double>(x.numel()), cost.segments[i].input_per_image)
        << trunk.chain[i]->name();
    all += parameters;
    Pass pass;
    x = trunk.chain[i]->Forward(x, pass);
  }
  EXPECT_EQ(all, cost.parameters);
  EXPECT_EQ(trunk.width, stages.back().width);
  EXPECT_EQ(x.sizes(), at::IntArrayRef({1, trunk.width}));
}

TEST(Trunk, IsBuiltAsCounted) {
  for (const std::string preset : {"regnety_200mf", "regnetx_200mf", "resnext50_32x4d"}) {
    SCOPED_TRACE(preset);
    ExpectBuiltAsCounted(*TrunkPreset(preset), 45);  // sizes that strides do not divide
  }
  for (TrunkConfig config : {SmallConfig().trunk, SmallResnetConfig().trunk}) {
    config.stem_stride = 1;
    ExpectBuiltAsCounted(config, 23);
  }
}

TEST(Trunk, ResnetStartsFromTorchvisionsRule) {
  const Initializer init(1);
  const auto solo = MakeSoloCommunicator();
  ASSERT_OK_AND_ASSIGN(const Trunk trunk, BuildTrunk({{}, 2, ResnetParams()}, {init, *solo}));
  std::map<std::string, at::Tensor> tensors;
  for (const auto& segment : trunk.chain) {
    for (const NamedTensor& p : segment->parameters()) tensors.emplace(p.name, p.tensor.detach());
  }
  // Normal with variance 2 / (kernel^2 * outputs): of 147,456 draws the estimate is within 2 %.
  const at::Tensor conv = tensors.at("layer2.0.conv2.weight");
  EXPECT_NEAR(conv.std().item<double>(), std::sqrt(2.0 / (9 * 128)), 0.02 * std::sqrt(2.0 / 1152));
  EXPECT_NEAR(conv.mean().item<double>(), 0, 5e-4);
  EXPECT_TRUE(tensors.at("layer2.0.bn3.weight").eq(1).all().item<bool>());
  EXPECT_TRUE(tensors.at("layer2.0.bn3.bias").eq(0).all().item<bool>());
}

TEST(Trunk, ResnetTrainsAndRecomputeChangesNothing) {
  const auto store = MakeMemoryStore();
  TrainConfig config = SmallResnetConfig();
  const auto kept = RunSmall(config, {.until = 4, .save_to = "kept", .store = store.get()});
  config.memory.recompute = MemoryConfig::Recompute::kAll;
  const auto again = RunSmall(config, {.until = 4, .save_to = "all", .store = store.get()});
  config.memory.recompute = MemoryConfig::Recompute::kList;
  config.memory.recompute_segments = {0, 3};
  RunSmall(config, {.until = 4, .save_to = "some", .store = store.get()});
  ASSERT_EQ(kept.size(), 4u);
  for (size_t step = 0; step < 4; ++step) EXPECT_EQ(kept[step].loss, again[step].loss) << step;
  EXPECT_NE(kept[0].loss, kept[3].loss);
  EXPECT_EQ(CheckpointBytes(*store, "kept"), CheckpointBytes(*store, "all"))
      << "running statistics included";
  EXPECT_EQ(CheckpointBytes(*store, "kept"), CheckpointBytes(*store, "some"));
}

TEST(Trunk, EveryNumberOfAResnetIsInTheDigest) {
  const TrainConfig config = SmallResnetConfig();
  const std::string digest = ConfigDigest(config);
  EXPECT_NE(digest, ConfigDigest(SmallConfig()));
  const auto changes = [&](auto spoil) {
    TrainConfig other = config;
    spoil(other.trunk);
    return ConfigDigest(other) != digest;
  };
  EXPECT_TRUE(changes([](TrunkConfig& t) { t.resnet->blocks[3] = 2; }));
  EXPECT_TRUE(changes([](TrunkConfig& t) { t.resnet->groups = 1; }));
  EXPECT_TRUE(changes([](TrunkConfig& t) { t.resnet->width_per_group = 64; }));
  EXPECT_TRUE(changes([](TrunkConfig& t) { t.resnet->stem_width = 16; }));
  EXPECT_TRUE(changes([](TrunkConfig& t) { t.stem_stride = 1; }));
  EXPECT_FALSE(changes([](TrunkConfig& t) { t.regnet.depth = 20; })) << "it is not used";
}

}  // namespace
}  // namespace seer::engine
