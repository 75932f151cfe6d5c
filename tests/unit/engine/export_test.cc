// Trunks under other libraries' names. The lists are those of timm 1.0 (regnety_004) and
// transformers (RegNetModel), read off their state_dict().
#include "engine/export/weights.h"

#include <map>
#include <set>

#include "common/base/reasons.h"
#include "engine/checkpoint/reader.h"
#include "engine/checkpoint/safetensors.h"
#include "tests/unit/engine/small_run.h"

namespace seer::engine {
namespace {

using seer::testing::FailsWith;
using testing::RunSmall;
using testing::SmallConfig;

TEST(TrunkName, IsWhatEachLibraryCallsIt) {
  const auto timm = [](const char* name) { return TrunkName(name, WeightNames::kTimm, true); };
  const auto hf = [](const char* name, bool squeeze) {
    return TrunkName(name, WeightNames::kHuggingFace, squeeze);
  };
  EXPECT_EQ(timm("stem.0.weight"), "stem.conv.weight");
  EXPECT_EQ(timm("stem.1.running_var"), "stem.bn.running_var");
  EXPECT_EQ(timm("trunk_output.block1.block1-0.proj.0.weight"), "s1.b1.downsample.conv.weight");
  EXPECT_EQ(timm("trunk_output.block2.block2-11.f.b.1.bias"), "s2.b12.conv2.bn.bias");
  EXPECT_EQ(timm("trunk_output.block1.block1-0.f.se.fc1.bias"), "s1.b1.se.fc1.bias");
  EXPECT_EQ(timm("trunk_output.block1.block1-0.f.c.0.weight"), "s1.b1.conv3.conv.weight");
  EXPECT_EQ(hf("stem.1.weight", true), "embedder.embedder.normalization.weight");
  EXPECT_EQ(hf("trunk_output.block1.block1-0.proj.1.bias", true),
            "encoder.stages.0.layers.0.shortcut.normalization.bias");
  EXPECT_EQ(hf("trunk_output.block1.block1-0.f.se.fc2.weight", true),
            "encoder.stages.0.layers.0.layer.2.attention.2.weight");
  EXPECT_EQ(hf("trunk_output.block1.block1-0.f.c.0.weight", true),
            "encoder.stages.0.layers.0.layer.3.convolution.weight");
  EXPECT_EQ(hf("trunk_output.block1.block1-0.f.c.0.weight", false),
            "encoder.stages.0.layers.0.layer.2.convolution.weight");
  EXPECT_EQ(timm("layer1.0.downsample.1.bias"), "layer1.0.downsample.1.bias");
  EXPECT_EQ(hf("layer1.0.conv1.weight", false), std::nullopt);
  for (const char* other :
       {"prototypes.weight", "projection_head.0.weight", "momentum/stem.0.weight",
        "trunk_output.block1", "queue/features", "trunk_output.block1.block2-0.f.a.0.weight"}) {
    EXPECT_EQ(timm(other), std::nullopt) << other;
  }
}

// The exported file's header, and its tensors' bytes by name.
std::map<std::string, std::string> Exported(ObjectStore& store, WeightNames names) {
  const auto exported = ExportTrunk(store, "run", names, store, "out.safetensors");
  EXPECT_OK(exported.status());
  const std::string file = *store.Get("out.safetensors");
  EXPECT_EQ(exported->size_bytes, static_cast<int64_t>(file.size()));
  const auto length = static_cast<size_t>(
      *SafetensorsHeaderBytes(file.substr(0, 8), static_cast<int64_t>(file.size())));
  const auto header =
      DecodeSafetensorsHeader(file.substr(8, length), static_cast<int64_t>(file.size()));
  EXPECT_OK(header.status());
  EXPECT_EQ(header->metadata.at("format"), "pt");
  std::map<std::string, std::string> tensors;
  for (const SafetensorsEntry& entry : header->entries) {
    tensors[entry.name] = file.substr(static_cast<size_t>(header->data_begin + entry.begin),
                                      static_cast<size_t>(entry.size_bytes()));
  }
  EXPECT_EQ(exported->tensors, static_cast<int64_t>(tensors.size()));
  return tensors;
}

TEST(ExportTrunk, HasEveryTensorOfTheTrunkUnderItsNewNameAndNothingElse) {
  const auto store = MakeMemoryStore();
  RunSmall(SmallConfig(), {.until = 2, .save_to = "run", .store = store.get()});
  ASSERT_OK_AND_ASSIGN(const LoadedCheckpoint checkpoint, ReadCheckpoint(*store, "run"));
  for (const WeightNames names :
       {WeightNames::kTorchvision, WeightNames::kTimm, WeightNames::kHuggingFace}) {
    std::map<std::string, std::string> tensors = Exported(*store, names);
    size_t expected = 0;
    for (const auto& [name, tensor] : checkpoint.tensors) {
      const auto target = TrunkName(name, names, true);
      if (!target.has_value()) continue;
      ++expected;
      const std::string bytes(static_cast<const char*>(tensor.const_data_ptr()), tensor.nbytes());
      EXPECT_TRUE(tensors[*target] == bytes) << name;
      tensors.erase(*target);
    }
    EXPECT_GT(expected, 80u);
    for (const auto& [name, bytes] : tensors) {
      EXPECT_TRUE(name.ends_with(".num_batches_tracked")) << name;
      EXPECT_EQ(bytes, std::string("\2\0\0\0\0\0\0\0", 8));
    }
  }
}

TEST(ExportTrunk, ADamagedOrAbsentCheckpointLeavesNoFile) {
  const auto store = MakeMemoryStore();
  EXPECT_THAT(ExportTrunk(*store, "run", WeightNames::kTimm, *store, "out.safetensors"),
              FailsWith(absl::StatusCode::kNotFound, reason::kCheckpointNotFound, "run"));
  RunSmall(SmallConfig(), {.until = 1, .save_to = "run", .store = store.get()});
  std::string bytes = *store->Get("run/rank-0.safetensors");
  bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 1);
  ASSERT_OK(store->Put("run/rank-0.safetensors", bytes));
  EXPECT_THAT(ExportTrunk(*store, "run", WeightNames::kTimm, *store, "out.safetensors"),
              FailsWith(absl::StatusCode::kDataLoss, reason::kCheckpointCorrupt, "SHA-256"));
  EXPECT_FALSE(store->Stat("out.safetensors").ok());
}

}  // namespace
}  // namespace seer::engine
