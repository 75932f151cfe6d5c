#include "engine/export/weights.h"

#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/base/digest.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "engine/checkpoint/files.h"
#include "engine/checkpoint/safetensors.h"

namespace seer::engine {
namespace {

constexpr char kSqueezePart[] = ".f.se.";
constexpr char kRunningMean[] = ".running_mean";

struct Weights {
  std::string dtype;
  std::vector<int64_t> shape;
  std::string bytes;
};

std::string LittleEndian(int64_t value) {
  std::string bytes;
  for (int byte = 0; byte < 8; ++byte)
    bytes.push_back(static_cast<char>(static_cast<uint64_t>(value) >> (8 * byte)));
  return bytes;
}

}  // namespace

absl::StatusOr<ExportedWeights> ExportTrunk(ObjectStore& store, const std::string& prefix,
                                            WeightNames names, ObjectStore& out,
                                            const std::string& key) {
  std::map<std::string, Weights> trunk;  // by the engine's name
  bool squeeze = false;
  SEER_ASSIGN_OR_RETURN(
      const auto metadata,
      VisitCheckpoint(store, prefix, [&](const SafetensorsEntry& entry, absl::string_view bytes) {
        if (TrunkName(entry.name, WeightNames::kTorchvision, false).has_value())
          trunk[entry.name] = {entry.dtype, entry.shape, std::string(bytes)};
        squeeze = squeeze || absl::StrContains(entry.name, kSqueezePart);
        return absl::OkStatus();
      }));
  if (trunk.empty()) {
    return Error(absl::StatusCode::kFailedPrecondition, reason::kCheckpointMismatch,
                 absl::StrCat("checkpoint ", prefix, " holds no trunk"))
        .Hint("choose a checkpoint of a pre-training job");
  }
  const auto step = metadata.find("step");
  int64_t steps = 0;
  if (step == metadata.end() || !absl::SimpleAtoi(step->second, &steps))
    return CorruptCheckpoint(prefix, "its metadata 'step' is absent or unreadable");

  SafetensorsHeader header;
  header.metadata = {{"format", "pt"}, {"step", step->second}};
  std::vector<std::string> pieces;  // the tensors' bytes
  const auto add = [&](const std::string& name, Weights weights) -> absl::Status {
    const auto exported = TrunkName(name, names, squeeze);
    if (!exported.has_value()) {
      return Error(absl::StatusCode::kFailedPrecondition, reason::kCheckpointMismatch,
                   absl::StrCat("tensor '", name, "' has no name in that library"))
          .Hint("ResNet trunks are written under torchvision's or timm's names");
    }
    header.entries.push_back({*exported, weights.dtype, weights.shape, 0, 0});
    pieces.push_back(std::move(weights.bytes));
    return absl::OkStatus();
  };
  for (auto& [name, weights] : trunk) {
    SEER_RETURN_IF_ERROR(add(name, std::move(weights)));
    absl::string_view layer = name;
    if (absl::ConsumeSuffix(&layer, kRunningMean)) {
      SEER_RETURN_IF_ERROR(
          add(absl::StrCat(layer, ".num_batches_tracked"), {"I64", {}, LittleEndian(steps)}));
    }
  }
  const std::string head = EncodeSafetensorsHeader(header);
  SEER_ASSIGN_OR_RETURN(const std::unique_ptr<ObjectWriter> writer, out.OpenWriter(key));
  Sha256Stream digest;
  digest.Update(head);
  SEER_RETURN_IF_ERROR(writer->Append(head));
  for (const std::string& piece : pieces) {
    digest.Update(piece);
    SEER_RETURN_IF_ERROR(writer->Append(piece));
  }
  SEER_RETURN_IF_ERROR(writer->Commit());
  const Sha256Digest sha256 = digest.Finish();
  return ExportedWeights{
      static_cast<int64_t>(header.entries.size()), header.data_begin + header.data_bytes(),
      ToHex(absl::string_view(reinterpret_cast<const char*>(sha256.data()), sha256.size()))};
}

}  // namespace seer::engine
