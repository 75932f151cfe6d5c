#include "engine/checkpoint/reader.h"

#include <algorithm>
#include <cstring>
#include <set>
#include <utility>

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "engine/checkpoint/safetensors.h"
#include "engine/checkpoint/snapshot.h"
#include "engine/checkpoint/writer.h"

namespace seer::engine {
namespace {

absl::Status Corrupt(absl::string_view prefix, absl::string_view what) {
  return Error(absl::StatusCode::kDataLoss, reason::kCheckpointCorrupt,
               absl::StrCat("checkpoint ", prefix, ": ", what))
      .Hint("restore from an older checkpoint: 'seer checkpoint list' shows them")
      .With("checkpoint", prefix);
}

absl::Status Mismatch(const std::string& tensor, absl::string_view what) {
  return Error(absl::StatusCode::kFailedPrecondition, reason::kCheckpointMismatch,
               absl::StrCat("the checkpoint does not fit this model: tensor '", tensor, "' ", what))
      .Hint("use the model, head and queue settings of the job that wrote it")
      .With("tensor", tensor);
}

std::string ShapeText(at::IntArrayRef shape) {
  return absl::StrCat("[", absl::StrJoin(shape, ", "), "]");
}

// Adds one file's tensors to `out`; its metadata is returned.
absl::StatusOr<std::map<std::string, std::string>> ReadFile(ObjectStore& store,
                                                            const ObjectInfo& object,
                                                            LoadedCheckpoint& out) {
  SEER_ASSIGN_OR_RETURN(const std::string bytes, store.Get(object.key));
  const absl::string_view view = bytes;
  const auto file_bytes = static_cast<int64_t>(bytes.size());
  SEER_ASSIGN_OR_RETURN(
      const int64_t header_bytes,
      SafetensorsHeaderBytes(view.substr(0, kSafetensorsPrefixBytes), file_bytes));
  const absl::string_view json =
      view.substr(kSafetensorsPrefixBytes, static_cast<size_t>(header_bytes));
  SEER_ASSIGN_OR_RETURN(SafetensorsHeader header, DecodeSafetensorsHeader(json, file_bytes));
  const absl::string_view data = view.substr(static_cast<size_t>(header.data_begin));
  const auto digest = header.metadata.find(kContentDigestKey);
  if (digest == header.metadata.end() || digest->second != ContentDigest(header, data)) {
    return Corrupt(object.key, "its bytes are not those that were written (SHA-256 differs)");
  }
  for (const SafetensorsEntry& entry : header.entries) {
    if (entry.dtype != "F32" && entry.dtype != "I64") {
      return Corrupt(object.key,
                     absl::StrCat("tensor '", entry.name, "' is of type ", entry.dtype));
    }
    at::Tensor tensor = at::empty(entry.shape, entry.dtype == "F32" ? at::kFloat : at::kLong);
    std::memcpy(tensor.mutable_data_ptr(), data.data() + entry.begin,
                static_cast<size_t>(entry.size_bytes()));
    if (!out.tensors.emplace(entry.name, std::move(tensor)).second) {
      return Corrupt(object.key, absl::StrCat("tensor '", entry.name, "' is in two files"));
    }
  }
  return std::move(header.metadata);
}

}  // namespace

absl::StatusOr<LoadedCheckpoint> ReadCheckpoint(ObjectStore& store, const std::string& prefix) {
  SEER_ASSIGN_OR_RETURN(const std::vector<ObjectInfo> objects, store.List(prefix + "/rank-"));
  LoadedCheckpoint checkpoint;
  std::set<std::string> ranks;
  std::string step, world_size;
  for (const ObjectInfo& object : objects) {
    if (!absl::EndsWith(object.key, ".safetensors")) continue;
    auto metadata = ReadFile(store, object, checkpoint);
    if (!metadata.ok()) {
      return absl::StrContains(metadata.status().message(), object.key)
                 ? metadata.status()
                 : WithContext(metadata.status(), object.key);
    }
    if (!ranks.empty() &&
        ((*metadata)["step"] != step || (*metadata)["world_size"] != world_size)) {
      return Corrupt(object.key, "it is of another step or world size than the other ranks' files");
    }
    step = (*metadata)["step"];
    world_size = (*metadata)["world_size"];
    ranks.insert((*metadata)["rank"]);
    checkpoint.metadata = *std::move(metadata);
  }
  if (ranks.empty()) {
    return Error(absl::StatusCode::kNotFound, reason::kCheckpointNotFound,
                 absl::StrCat("no rank-*.safetensors under ", prefix))
        .Hint("'seer checkpoint list' shows the checkpoints of a job");
  }
  int64_t expected = 0;
  if (!absl::SimpleAtoi(world_size, &expected) || expected < 1)
    return Corrupt(prefix, "its world size is unreadable");
  for (int64_t rank = 0; rank < expected; ++rank) {
    if (!ranks.contains(absl::StrCat(rank))) {
      return Corrupt(prefix, absl::StrCat(CheckpointFileName(static_cast<int>(rank)), " of ",
                                          expected, " files is missing"));
    }
  }
  checkpoint.metadata.erase("rank");
  checkpoint.metadata.erase(kContentDigestKey);
  return checkpoint;
}

absl::Status CopyInto(const LoadedCheckpoint& checkpoint, std::vector<NamedTensor>& state,
                      bool exact) {
  std::map<std::string, at::Tensor> wanted;
  for (const NamedTensor& t : state) wanted.emplace(t.name, t.tensor);
  for (const auto& [name, tensor] : wanted) {
    const auto found = checkpoint.tensors.find(name);
    if (found == checkpoint.tensors.end()) return Mismatch(name, "is not in the checkpoint");
    if (found->second.sizes() != tensor.sizes() ||
        found->second.scalar_type() != tensor.scalar_type()) {
      return Mismatch(name, absl::StrCat("has shape ", ShapeText(found->second.sizes()),
                                         " there and ", ShapeText(tensor.sizes()), " here"));
    }
  }
  if (exact) {
    for (const auto& [name, tensor] : checkpoint.tensors) {
      if (!wanted.contains(name))
        return Mismatch(name, "is in the checkpoint, but not in the model");
    }
  }
  const at::NoGradGuard no_grad;
  for (auto& [name, tensor] : wanted) tensor.copy_(checkpoint.tensors.at(name));
  return absl::OkStatus();
}

}  // namespace seer::engine
