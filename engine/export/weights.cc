#include "engine/export/weights.h"

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
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

constexpr char kRunningPart[] = ".running_";
constexpr char kRunningMean[] = ".running_mean";

std::string LittleEndian(int64_t value) {
  std::string bytes;
  for (int byte = 0; byte < 8; ++byte)
    bytes.push_back(static_cast<char>(static_cast<uint64_t>(value) >> (8 * byte)));
  return bytes;
}

absl::Status Unfit(absl::string_view what, absl::string_view hint) {
  return Error(absl::StatusCode::kFailedPrecondition, reason::kCheckpointMismatch, what).Hint(hint);
}

// Appends to a file and hashes it.
class HashedWriter {
 public:
  explicit HashedWriter(std::unique_ptr<ObjectWriter> writer) : writer_(std::move(writer)) {}
  absl::Status Append(absl::string_view bytes) {
    digest_.Update(bytes);
    return writer_->Append(bytes);
  }
  absl::StatusOr<std::string> Commit() {
    SEER_RETURN_IF_ERROR(writer_->Commit());
    const Sha256Digest sha256 = digest_.Finish();
    return ToHex({reinterpret_cast<const char*>(sha256.data()), sha256.size()});
  }

 private:
  const std::unique_ptr<ObjectWriter> writer_;
  Sha256Stream digest_;
};

// Hugging Face's ResNetModel and SwAV's ResNet are built from depths alone: widths are those of
// torchvision's resnet50, and convolutions have one group.
absl::Status CheckPlainBottlenecks(const std::map<std::string, const SafetensorsEntry*>& network,
                                   WeightNames names) {
  if (names != WeightNames::kHuggingFace && names != WeightNames::kSwav) return absl::OkStatus();
  const auto middle = network.find("layer1.0.conv2.weight");
  if (middle == network.end()) return absl::OkStatus();  // a RegNet
  if (middle->second->shape.size() == 4 && middle->second->shape[0] == 64 &&
      middle->second->shape[1] == 64)
    return absl::OkStatus();
  return Unfit(absl::StrCat(WeightNamesText(names), " has no wide or grouped ResNets"),
               "write it under the names of torchvision, timm or vissl");
}

// What of a checkpoint is written, and as what.
class Selection {
 public:
  static absl::StatusOr<Selection> Make(const CheckpointFiles& files, const ExportOptions& options,
                                        const std::string& prefix) {
    Selection selection;
    bool has_mean = false, squeeze = false;
    for (const CheckpointPart& part : files.parts()) {
      for (const SafetensorsEntry& entry : part.header.entries) {
        squeeze = squeeze || IsSqueezeTensor(entry.name);
        has_mean = has_mean || absl::StartsWith(entry.name, kWeightMeanPrefix);
      }
    }
    if (options.mean && !has_mean) {
      return Unfit(absl::StrCat("checkpoint ", prefix, " holds no mean of the weights"),
                   "train with optim.emaDecay above 0, or export the weights themselves");
    }
    std::map<std::string, const SafetensorsEntry*> network;
    for (const CheckpointPart& part : files.parts()) {
      auto& of_part = selection.parts_.emplace_back();
      for (const SafetensorsEntry& entry : part.header.entries) {
        const bool statistic = absl::StrContains(entry.name, kRunningPart);
        absl::string_view name = entry.name;
        if (absl::ConsumePrefix(&name, kWeightMeanPrefix) != (options.mean && !statistic)) continue;
        if (!IsTrunkTensor(name) && !IsHeadTensor(name)) continue;
        const auto exported = LibraryName(name, options.names, squeeze);
        if (!exported.has_value() && IsHeadTensor(name)) continue;
        if (!exported.has_value()) {
          return Unfit(
              absl::StrCat("tensor '", name, "' has no name in ", WeightNamesText(options.names)),
              "SwAV's own code has ResNets alone: write a RegNet under the names of vissl");
        }
        network.emplace(name, &entry);
        of_part.push_back(&entry);
        selection.entries_.push_back({*exported, entry.dtype, entry.shape, 0, 0});
        if (!absl::ConsumeSuffix(&name, kRunningMean)) continue;
        const auto count =
            LibraryName(absl::StrCat(name, ".num_batches_tracked"), options.names, squeeze);
        if (count.has_value()) selection.counts_.push_back(*count);
      }
    }
    if (std::none_of(network.begin(), network.end(),
                     [](const auto& item) { return IsTrunkTensor(item.first); })) {
      return Unfit(absl::StrCat("checkpoint ", prefix, " holds no trunk"),
                   "choose a checkpoint of a pre-training job");
    }
    SEER_RETURN_IF_ERROR(CheckPlainBottlenecks(network, options.names));
    const auto step = files.metadata().find("step");
    if (step == files.metadata().end() || !absl::SimpleAtoi(step->second, &selection.steps_))
      return CorruptCheckpoint(prefix, "its metadata 'step' is absent or unreadable");
    return selection;
  }

  // The counts stand first, so that every tensor stands at a multiple of its element's size.
  SafetensorsHeader Header() const {
    SafetensorsHeader header;
    header.metadata = {{"format", "pt"}, {"step", absl::StrCat(steps_)}};
    for (const std::string& count : counts_) header.entries.push_back({count, "I64", {}, 0, 0});
    header.entries.insert(header.entries.end(), entries_.begin(), entries_.end());
    return header;
  }
  // Of each file of the checkpoint, in the order of the header.
  const std::vector<std::vector<const SafetensorsEntry*>>& parts() const { return parts_; }
  // The start of the data: one number for each norm layer.
  std::string Counts() const {
    std::string bytes;
    for (size_t i = 0; i < counts_.size(); ++i) bytes += LittleEndian(steps_);
    return bytes;
  }

 private:
  std::vector<SafetensorsEntry> entries_;
  std::vector<std::vector<const SafetensorsEntry*>> parts_;
  std::vector<std::string> counts_;
  int64_t steps_ = 0;
};

}  // namespace

absl::StatusOr<ExportedWeights> ExportWeights(ObjectStore& store, const std::string& prefix,
                                              const ExportOptions& options, ObjectStore& out,
                                              const std::string& key) {
  SEER_ASSIGN_OR_RETURN(const CheckpointFiles files, CheckpointFiles::Open(store, prefix));
  auto selection = Selection::Make(files, options, prefix);
  if (!selection.ok()) {
    // A flipped bit in a header may look like another model.
    SEER_RETURN_IF_ERROR(files.Read(RunSerially, {}, {}));
    return selection.status();
  }
  SafetensorsHeader header = selection->Header();
  const std::string head = EncodeSafetensorsHeader(header);
  SEER_ASSIGN_OR_RETURN(auto opened, out.OpenWriter(key));
  HashedWriter writer(std::move(opened));
  SEER_RETURN_IF_ERROR(writer.Append(head));
  SEER_RETURN_IF_ERROR(writer.Append(selection->Counts()));
  SEER_RETURN_IF_ERROR(
      files.Read(RunSerially, {}, [&](size_t part, absl::string_view data) -> absl::Status {
        for (const SafetensorsEntry* entry : selection->parts()[part]) {
          SEER_RETURN_IF_ERROR(writer.Append(data.substr(
              static_cast<size_t>(entry->begin), static_cast<size_t>(entry->size_bytes()))));
        }
        return absl::OkStatus();
      }));
  SEER_ASSIGN_OR_RETURN(std::string sha256, writer.Commit());
  return ExportedWeights{static_cast<int64_t>(header.entries.size()),
                         header.data_begin + header.data_bytes(), std::move(sha256)};
}

}  // namespace seer::engine
