// Weights under other libraries' names, out of checkpoints and into sessions. The lists are those
// of timm 1.0 (regnety_004), transformers (RegNetModel, ResNetModel), VISSL (ClassyVision's anynet
// in vissl/models/trunks/regnet.py) and SwAV's src/resnet50.py.
#include "engine/export/weights.h"

#include <map>
#include <set>

#include <ATen/ATen.h>

#include "common/base/reasons.h"
#include "engine/checkpoint/import.h"
#include "engine/checkpoint/reader.h"
#include "engine/checkpoint/safetensors.h"
#include "engine/session/eval_session.h"
#include "tests/unit/engine/small_run.h"

namespace seer::engine {
namespace {

using seer::testing::FailsWith;
using testing::OnRanks;
using testing::RunSmall;
using testing::SmallBatch;
using testing::SmallConfig;

TEST(LibraryName, OfARegnet) {
  const auto timm = [](const char* name) { return LibraryName(name, WeightNames::kTimm, true); };
  const auto hf = [](const char* name, bool squeeze) {
    return LibraryName(name, WeightNames::kHuggingFace, squeeze);
  };
  const auto vissl = [](const char* name) { return LibraryName(name, WeightNames::kVissl, true); };
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
  EXPECT_EQ(vissl("stem.0.weight"), "trunk._feature_blocks.conv1.stem.0.weight");
  EXPECT_EQ(vissl("trunk_output.block1.block1-0.proj.1.bias"),
            "trunk._feature_blocks.res2.block1-0.bn.bias");
  EXPECT_EQ(vissl("trunk_output.block4.block4-3.f.b.1.running_mean"),
            "trunk._feature_blocks.res5.block4-3.f.b.1.running_mean");
  EXPECT_EQ(vissl("trunk_output.block2.block2-1.f.c.1.weight"),
            "trunk._feature_blocks.res3.block2-1.f.final_bn.weight");
  EXPECT_EQ(vissl("trunk_output.block2.block2-1.f.c.0.weight"),
            "trunk._feature_blocks.res3.block2-1.f.c.weight");
  EXPECT_EQ(vissl("trunk_output.block2.block2-1.f.se.fc2.bias"),
            "trunk._feature_blocks.res3.block2-1.f.se.excitation.2.bias");
  EXPECT_EQ(LibraryName("stem.0.weight", WeightNames::kSwav, true), std::nullopt);
  for (const char* other : {"momentum/stem.0.weight", "trunk_output.block1", "queue/features",
                            "trunk_output.block1.block2-0.f.a.0.weight"}) {
    EXPECT_EQ(timm(other), std::nullopt) << other;
    EXPECT_EQ(vissl(other), std::nullopt) << other;
  }
}

TEST(LibraryName, OfAResnet) {
  const auto name = [](const char* own, WeightNames names) {
    return LibraryName(own, names, false);
  };
  EXPECT_EQ(name("layer1.0.downsample.1.bias", WeightNames::kTimm), "layer1.0.downsample.1.bias");
  EXPECT_EQ(name("layer1.0.conv1.weight", WeightNames::kSwav), "module.layer1.0.conv1.weight");
  EXPECT_EQ(name("bn1.running_var", WeightNames::kVissl), "trunk._feature_blocks.bn1.running_var");
  EXPECT_EQ(name("conv1.weight", WeightNames::kHuggingFace),
            "embedder.embedder.convolution.weight");
  EXPECT_EQ(name("bn1.bias", WeightNames::kHuggingFace), "embedder.embedder.normalization.bias");
  EXPECT_EQ(name("layer4.2.bn3.weight", WeightNames::kHuggingFace),
            "encoder.stages.3.layers.2.layer.2.normalization.weight");
  EXPECT_EQ(name("layer2.0.downsample.0.weight", WeightNames::kHuggingFace),
            "encoder.stages.1.layers.0.shortcut.convolution.weight");
}

TEST(LibraryName, OfHeadAndPrototypes) {
  const auto vissl = [](const char* own) { return LibraryName(own, WeightNames::kVissl, false); };
  EXPECT_EQ(vissl("projection_head.1.running_mean"), "heads.0.projection_head.1.running_mean");
  EXPECT_EQ(vissl("projection_head.bias"), "heads.0.projection_head.0.bias");
  EXPECT_EQ(vissl("prototypes.weight"), "heads.0.prototypes0.weight");
  EXPECT_EQ(vissl("prototypes.prototypes2.weight"), "heads.0.prototypes2.weight");
  EXPECT_EQ(LibraryName("prototypes.prototypes2.weight", WeightNames::kSwav, false),
            "module.prototypes.prototypes2.weight");
  EXPECT_EQ(LibraryName("prototypes.weight", WeightNames::kTorchvision, false), std::nullopt);
  EXPECT_EQ(LibraryName("projection_head.0.weight", WeightNames::kTimm, false), std::nullopt);
}

TEST(WeightNames, AreFoundByTheirTexts) {
  for (const WeightNames names : kAllWeightNames)
    EXPECT_EQ(FindWeightNames(WeightNamesText(names)), names);
  EXPECT_EQ(FindWeightNames("keras"), std::nullopt);
}

TrainConfig SmallResnet() {
  TrainConfig config = SmallConfig();
  config.trunk.resnet = ResnetParams{{1, 1, 2, 1}};
  config.crops = {{2, 32}};
  config.global_batch = 4;
  return config;
}

// The exported file's header, and its tensors' bytes by name.
std::map<std::string, std::string> Exported(ObjectStore& store, const ExportOptions& options) {
  const auto exported = ExportWeights(store, "run", options, store, "out.safetensors");
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
    EXPECT_EQ(entry.begin % SafetensorsElementBytes(entry.dtype), 0) << entry.name;
    tensors[entry.name] = file.substr(static_cast<size_t>(header->data_begin + entry.begin),
                                      static_cast<size_t>(entry.size_bytes()));
  }
  EXPECT_EQ(exported->tensors, static_cast<int64_t>(tensors.size()));
  return tensors;
}

std::string Bytes(const at::Tensor& tensor) {
  return {static_cast<const char*>(tensor.const_data_ptr()), tensor.nbytes()};
}

TEST(ExportWeights, HasEveryTensorUnderItsNewNameAndNothingElse) {
  const auto store = MakeMemoryStore();
  RunSmall(SmallConfig(), {.world_size = 2, .until = 2, .save_to = "run", .store = store.get()});
  ASSERT_OK_AND_ASSIGN(const LoadedCheckpoint checkpoint, ReadCheckpoint(*store, "run"));
  for (const WeightNames names : kAllWeightNames) {
    if (names == WeightNames::kSwav) continue;
    std::map<std::string, std::string> tensors = Exported(*store, {names});
    size_t expected = 0;
    for (const auto& [name, tensor] : checkpoint.tensors) {
      const auto target = LibraryName(name, names, true);
      if (!target.has_value()) continue;
      ++expected;
      EXPECT_TRUE(tensors[*target] == Bytes(tensor)) << name;
      tensors.erase(*target);
    }
    EXPECT_GT(expected, 80u);
    EXPECT_FALSE(tensors.empty());
    for (const auto& [name, bytes] : tensors) {
      EXPECT_TRUE(name.ends_with(".num_batches_tracked")) << name;
      EXPECT_EQ(bytes, std::string("\2\0\0\0\0\0\0\0", 8));
    }
  }
  EXPECT_THAT(
      ExportWeights(*store, "run", {WeightNames::kSwav}, *store, "none"),
      FailsWith(absl::StatusCode::kFailedPrecondition, reason::kCheckpointMismatch, "swav"));
}

TEST(ExportWeights, TheMeanInPlaceOfTheWeights) {
  const auto store = MakeMemoryStore();
  TrainConfig config = SmallConfig();
  RunSmall(config, {.until = 2, .save_to = "run", .store = store.get()});
  EXPECT_THAT(
      ExportWeights(*store, "run", {WeightNames::kTimm, /*mean=*/true}, *store, "none"),
      FailsWith(absl::StatusCode::kFailedPrecondition, reason::kCheckpointMismatch, "mean"));
  config.optim.ema_decay = 0.5;
  RunSmall(config, {.until = 3, .save_to = "run", .store = store.get()});
  ASSERT_OK_AND_ASSIGN(const LoadedCheckpoint checkpoint, ReadCheckpoint(*store, "run"));
  const auto mean = Exported(*store, {WeightNames::kVissl, /*mean=*/true});
  const auto weights = Exported(*store, {WeightNames::kVissl});
  EXPECT_EQ(mean.size(), weights.size());
  EXPECT_TRUE(mean.at("heads.0.prototypes0.weight") ==
              Bytes(checkpoint.tensors.at("ema/prototypes.weight")));
  EXPECT_FALSE(mean.at("heads.0.prototypes0.weight") == weights.at("heads.0.prototypes0.weight"));
  const char* statistic = "trunk._feature_blocks.conv1.stem.1.running_mean";
  EXPECT_TRUE(mean.at(statistic) == weights.at(statistic));
}

TEST(ExportWeights, AResnetThatAClassCannotHoldIsRefused) {
  const auto store = MakeMemoryStore();
  TrainConfig config = SmallResnet();
  config.trunk.resnet->groups = 32;
  config.trunk.resnet->width_per_group = 4;
  RunSmall(config, {.until = 0, .save_to = "run", .store = store.get()});
  for (const WeightNames names : {WeightNames::kHuggingFace, WeightNames::kSwav}) {
    EXPECT_THAT(
        ExportWeights(*store, "run", {names}, *store, "none"),
        FailsWith(absl::StatusCode::kFailedPrecondition, reason::kCheckpointMismatch, "grouped"));
  }
  EXPECT_OK(ExportWeights(*store, "run", {WeightNames::kVissl}, *store, "none"));
}

TEST(ExportWeights, ADamagedOrAbsentCheckpointLeavesNoFile) {
  const auto store = MakeMemoryStore();
  EXPECT_THAT(ExportWeights(*store, "run", {WeightNames::kTimm}, *store, "out.safetensors"),
              FailsWith(absl::StatusCode::kNotFound, reason::kCheckpointNotFound, "run"));
  RunSmall(SmallConfig(), {.until = 1, .save_to = "run", .store = store.get()});
  std::string bytes = *store->Get("run/rank-0.safetensors");
  bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 1);
  ASSERT_OK(store->Put("run/rank-0.safetensors", bytes));
  EXPECT_THAT(ExportWeights(*store, "run", {WeightNames::kTimm}, *store, "out.safetensors"),
              FailsWith(absl::StatusCode::kDataLoss, reason::kCheckpointCorrupt, "SHA-256"));
  EXPECT_FALSE(store->Stat("out.safetensors").ok());
}

// Loads "out.safetensors" into a new session of `config` and returns that session's state.
absl::StatusOr<LoadedCheckpoint> Imported(ObjectStore& store, const TrainConfig& config,
                                          std::string& what) {
  SEER_ASSIGN_OR_RETURN(const auto session, TrainSession::Create(config, {}));
  SEER_ASSIGN_OR_RETURN(what, session->LoadWeights(store, "out.safetensors"));
  SEER_ASSIGN_OR_RETURN(const auto snapshot, session->Snapshot());
  SEER_RETURN_IF_ERROR(snapshot->Write(store, "imported").status());
  return ReadCheckpoint(store, "imported");
}

TEST(ImportWeights, WhatWasExportedComesBackUnderAllNames) {
  for (const bool resnet : {false, true}) {
    TrainConfig config = resnet ? SmallResnet() : SmallConfig();
    config.optim.ema_decay = 0.5;
    const auto store = MakeMemoryStore();
    RunSmall(config, {.until = 2, .save_to = "run", .store = store.get()});
    ASSERT_OK_AND_ASSIGN(const LoadedCheckpoint trained, ReadCheckpoint(*store, "run"));
    config.seed += 1;
    RunSmall(config, {.until = 0, .save_to = "fresh", .store = store.get()});
    ASSERT_OK_AND_ASSIGN(const LoadedCheckpoint fresh, ReadCheckpoint(*store, "fresh"));
    for (const WeightNames names : kAllWeightNames) {
      if (names == WeightNames::kSwav && !resnet) continue;
      ASSERT_OK(ExportWeights(*store, "run", {names}, *store, "out.safetensors"));
      // The file's own names tell it of a ResNet.
      config.weights.names = resnet ? std::nullopt : std::optional(names);
      std::string what;
      ASSERT_OK_AND_ASSIGN(const LoadedCheckpoint imported, Imported(*store, config, what));
      const bool with_head = names == WeightNames::kVissl || names == WeightNames::kSwav;
      EXPECT_EQ(
          what.find("random as the seed has it: projection_head, prototypes") == std::string::npos,
          with_head)
          << what;
      for (const auto& [name, tensor] : imported.tensors) {
        const std::string own = name.starts_with("ema/") ? name.substr(4) : name;
        const bool taken = IsTrunkTensor(own) || (IsHeadTensor(own) && with_head);
        EXPECT_TRUE(tensor.equal((taken ? trained : fresh).tensors.at(taken ? own : name)))
            << WeightNamesText(names) << " " << name;
      }
    }
  }
}

class ImportTest : public ::testing::Test {
 protected:
  ImportTest() {
    RunSmall(config_, {.until = 1, .save_to = "run", .store = store_.get()});
    EXPECT_OK(ExportWeights(*store_, "run", {WeightNames::kVissl}, *store_, "out.safetensors"));
  }
  absl::Status Load(const TrainConfig& config) {
    SEER_ASSIGN_OR_RETURN(const auto session, TrainSession::Create(config, {}));
    return session->LoadWeights(*store_, "out.safetensors").status();
  }
  // The file with other tensors: `change` gets name, type, shape and bytes of each.
  void Rewrite(const std::function<bool(SafetensorsEntry&, std::string& bytes)>& change) {
    const std::string file = *store_->Get("out.safetensors");
    const auto size = static_cast<int64_t>(file.size());
    const auto length = static_cast<size_t>(*SafetensorsHeaderBytes(file.substr(0, 8), size));
    const auto header = *DecodeSafetensorsHeader(file.substr(8, length), size);
    SafetensorsHeader changed;
    std::string data;
    for (SafetensorsEntry entry : header.entries) {
      std::string bytes = file.substr(static_cast<size_t>(header.data_begin + entry.begin),
                                      static_cast<size_t>(entry.size_bytes()));
      if (!change(entry, bytes)) continue;
      changed.entries.push_back(entry);
      data += bytes;
    }
    ASSERT_OK(store_->Put("out.safetensors", EncodeSafetensorsHeader(changed) + data));
  }
  TrainConfig config_ = SmallConfig();
  const std::unique_ptr<ObjectStore> store_ = MakeMemoryStore();
};

TEST_F(ImportTest, NamesTheFirstTensorThatDoesNotFit) {
  TrainConfig other = config_;
  other.head.prototypes = 21;
  EXPECT_THAT(Load(other), FailsWith(absl::StatusCode::kInvalidArgument, reason::kWeightsMismatch,
                                     "tensor 'prototypes.weight', 'heads.0.prototypes0.weight'"));
  other = config_;
  other.trunk.regnet.se_ratio = 0;
  EXPECT_OK(Load(other)) << "tensors without a place are passed over";
  other.trunk.regnet.depth = 5;
  EXPECT_THAT(Load(other), FailsWith(absl::StatusCode::kInvalidArgument, reason::kWeightsMismatch,
                                     "is not in the file"));
  config_.weights.names = WeightNames::kTimm;
  EXPECT_THAT(Load(config_), FailsWith(absl::StatusCode::kInvalidArgument, reason::kWeightsMismatch,
                                       "in timm, is not in the file"));
  config_.weights.names.reset();
  Rewrite([](SafetensorsEntry& entry, std::string&) {
    return entry.name != "heads.0.projection_head.1.bias";
  });
  EXPECT_THAT(Load(config_), FailsWith(absl::StatusCode::kInvalidArgument, reason::kWeightsMismatch,
                                       "'projection_head.1.bias'"));
  Rewrite([](SafetensorsEntry& entry, std::string&) {
    entry.name = "x." + entry.name;
    return true;
  });
  EXPECT_THAT(Load(config_), FailsWith(absl::StatusCode::kInvalidArgument, reason::kWeightsMismatch,
                                       "the first is 'x."));
}

TEST_F(ImportTest, ConvertsTypesAndTakesWrappersPrefixes) {
  Rewrite([](SafetensorsEntry& entry, std::string& bytes) {
    if (entry.dtype != "F32" || !entry.name.starts_with("trunk.")) return false;
    entry.name = entry.name.substr(6);  // as converter scripts leave it
    const at::Tensor half =
        at::from_blob(bytes.data(), {static_cast<int64_t>(bytes.size() / 4)}, at::kFloat)
            .to(at::kBFloat16);
    entry.dtype = "BF16";
    bytes = Bytes(half);
    return true;
  });
  std::string what;
  ASSERT_OK_AND_ASSIGN(const LoadedCheckpoint imported, Imported(*store_, config_, what));
  ASSERT_OK_AND_ASSIGN(const LoadedCheckpoint trained, ReadCheckpoint(*store_, "run"));
  for (const auto& [name, tensor] : imported.tensors) {
    if (!IsTrunkTensor(name)) continue;
    EXPECT_TRUE(tensor.equal(trained.tensors.at(name).to(at::kBFloat16).to(at::kFloat))) << name;
  }
  EXPECT_EQ(what.find("vissl; random as the seed has it: projection_head, prototypes") ==
                std::string::npos,
            false)
      << what;
  Rewrite([](SafetensorsEntry& entry, std::string& bytes) {
    if (entry.dtype == "BF16") entry.dtype = "I16";
    return !bytes.empty();
  });
  EXPECT_THAT(Load(config_),
              FailsWith(absl::StatusCode::kInvalidArgument, reason::kWeightsMismatch, "I16"));
}

TEST_F(ImportTest, RefusesPicklesAndWhatIsTorn) {
  const std::string file = *store_->Get("out.safetensors");
  ASSERT_OK(store_->Put("out.safetensors", file.substr(0, file.size() / 2)));
  EXPECT_THAT(Load(config_), FailsWith(absl::StatusCode::kInvalidArgument, reason::kInvalidArgument,
                                       "out.safetensors"));
  for (const char* start : {"PK\x03\x04 and an archive", "\x80\x02}q"}) {
    ASSERT_OK(store_->Put("out.safetensors", std::string(start)));
    const absl::Status status = Load(config_);
    EXPECT_THAT(status,
                FailsWith(absl::StatusCode::kInvalidArgument, reason::kInvalidArgument, "pickle"));
    EXPECT_NE(GetErrorDetail(status)->hint.find("safetensors.torch"), std::string::npos);
  }
  ASSERT_OK(store_->Delete("out.safetensors"));
  EXPECT_THAT(Load(config_), FailsWith(absl::StatusCode::kNotFound, reason::kObjectNotFound, ""));
}

TEST_F(ImportTest, ComesBeforeTheFirstStepAndIntoEvaluations) {
  ASSERT_OK_AND_ASSIGN(const auto session, TrainSession::Create(config_, {}));
  ASSERT_OK(session->Step(SmallBatch(config_, 0, 0, 1)));
  EXPECT_THAT(session->LoadWeights(*store_, "out.safetensors"),
              seer::testing::StatusIs(absl::StatusCode::kFailedPrecondition));
  ASSERT_OK_AND_ASSIGN(const auto eval, EvalSession::Create(config_, 1));
  EXPECT_OK(eval->LoadWeights(*store_, "out.safetensors"));
}

}  // namespace
}  // namespace seer::engine
