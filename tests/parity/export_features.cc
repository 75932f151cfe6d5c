// Writes what check_export.py compares: a RegNetY-400MF and a ResNet-50 after two steps of
// training, under the names of every library that has such a network, with the features that the
// engine computes from them.
//
//   export_features FOLDER
//
// FOLDER/<trunk>-<names>.safetensors, and FOLDER/<trunk>-features.safetensors: "images"
// [2, 3, 96, 96], "trunk" [2, width] and "projection" [2, output_dim] of them.
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include <ATen/ATen.h>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/objectstore/local_store.h"
#include "common/objectstore/memory_store.h"
#include "engine/arch/trunk_design.h"
#include "engine/checkpoint/reader.h"
#include "engine/checkpoint/snapshot.h"
#include "engine/export/weights.h"
#include "engine/parallel/executor.h"
#include "engine/train/network.h"
#include "tests/unit/engine/small_run.h"

namespace seer::engine {
namespace {

absl::Status WriteTensors(const std::vector<NamedTensor>& tensors, ObjectStore& store,
                          const std::string& key) {
  HostSnapshot snapshot = TakeSnapshot(HeldWhole(tensors), {}, {}, 0, 1);
  const std::string head = EncodeSafetensorsHeader(snapshot.header);
  return store.Put(key, absl::StrCat(head, snapshot.data()));
}

absl::Status Run(const std::string& preset, ObjectStore& out) {
  TrainConfig config = testing::SmallConfig();
  SEER_ASSIGN_OR_RETURN(config.trunk, TrunkPreset(preset));
  const auto checkpoints = MakeMemoryStore();
  testing::RunSmall(config, {.until = 2, .save_to = "run", .store = checkpoints.get()});
  for (const WeightNames names : kAllWeightNames) {
    if (names == WeightNames::kSwav && !config.trunk.resnet) continue;
    SEER_RETURN_IF_ERROR(
        ExportWeights(*checkpoints, "run", {names}, out,
                      absl::StrCat(preset, "-", WeightNamesText(names), ".safetensors"))
            .status());
  }
  const auto solo = MakeSoloCommunicator();
  SEER_ASSIGN_OR_RETURN(Network network, BuildNetwork(config, *solo));
  std::vector<NamedTensor> state = network.Parameters();
  for (NamedTensor& buffer : network.Buffers()) state.push_back(std::move(buffer));
  SEER_RETURN_IF_ERROR(RestoreCheckpoint(*checkpoints, "run", HeldWhole(state), /*exact=*/false));
  const at::Tensor images =
      at::randn({2, 3, 96, 96}, at::detail::createCPUGenerator(5), at::kFloat);
  UnitWalk all_there;
  const auto evaluate = [&](size_t segments) {
    Chain chain;
    for (size_t i = 0; i < segments; ++i) chain.push_back(std::move(network.chain[i]));
    at::Tensor y =
        ChainExecutor(chain, all_there, std::vector<bool>(segments, false)).Evaluate(images);
    for (size_t i = 0; i < segments; ++i) network.chain[i] = std::move(chain[i]);
    return y;
  };
  const at::Tensor trunk = evaluate(network.trunk_segments),
                   projection = evaluate(network.chain.size());
  return WriteTensors({{"images", images}, {"trunk", trunk}, {"projection", projection}}, out,
                      absl::StrCat(preset, "-features.safetensors"));
}

}  // namespace
}  // namespace seer::engine

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: export_features FOLDER\n");
    return 2;
  }
  const auto out = seer::OpenLocalStore(argv[1]);
  absl::Status status = out.status();
  for (const char* preset : {"regnety_400mf", "resnet50"})
    if (status.ok()) status = seer::engine::Run(preset, **out);
  if (!status.ok()) std::fprintf(stderr, "%s\n", seer::StatusText(status).c_str());
  return status.ok() ? 0 : 1;
}
