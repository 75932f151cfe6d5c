#include "engine/checkpoint/files.h"

#include <set>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/base/digest.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"

namespace seer::engine {
namespace {

// Visits one file's tensors; its metadata is returned.
absl::StatusOr<std::map<std::string, std::string>> VisitFile(ObjectStore& store,
                                                             const ObjectInfo& object,
                                                             const TensorVisitor& visit) {
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
    return CorruptCheckpoint(object.key,
                             "its bytes are not those that were written (SHA-256 differs)");
  }
  for (const SafetensorsEntry& entry : header.entries) {
    if (entry.dtype != "F32" && entry.dtype != "I64") {
      return CorruptCheckpoint(object.key,
                               absl::StrCat("tensor '", entry.name, "' is of type ", entry.dtype));
    }
    SEER_RETURN_IF_ERROR(visit(entry, data.substr(static_cast<size_t>(entry.begin),
                                                  static_cast<size_t>(entry.size_bytes()))));
  }
  return std::move(header.metadata);
}

}  // namespace

std::string ContentDigest(SafetensorsHeader header, absl::string_view data) {
  header.metadata.erase(kContentDigestKey);
  Sha256Stream digest;
  digest.Update(EncodeSafetensorsHeader(header));
  digest.Update(data);
  const Sha256Digest bytes = digest.Finish();
  return ToHex(absl::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
}

std::string CheckpointFileName(int rank) { return absl::StrCat("rank-", rank, ".safetensors"); }

absl::Status CorruptCheckpoint(absl::string_view name, absl::string_view what) {
  return Error(absl::StatusCode::kDataLoss, reason::kCheckpointCorrupt,
               absl::StrCat("checkpoint ", name, ": ", what))
      .Hint("restore from an older checkpoint: 'seer checkpoint list' shows them")
      .With("checkpoint", name);
}

absl::StatusOr<std::map<std::string, std::string>> VisitCheckpoint(ObjectStore& store,
                                                                   const std::string& prefix,
                                                                   const TensorVisitor& visit) {
  SEER_ASSIGN_OR_RETURN(const std::vector<ObjectInfo> objects, store.List(prefix + "/rank-"));
  std::map<std::string, std::string> common;
  std::set<std::string> names;
  std::set<std::string> ranks;
  std::string step, world_size;
  for (const ObjectInfo& object : objects) {
    if (!absl::EndsWith(object.key, ".safetensors")) continue;
    auto metadata = VisitFile(
        store, object, [&](const SafetensorsEntry& entry, absl::string_view bytes) -> absl::Status {
          if (!names.insert(entry.name).second) {
            return CorruptCheckpoint(object.key,
                                     absl::StrCat("tensor '", entry.name, "' is in two files"));
          }
          return visit(entry, bytes);
        });
    if (!metadata.ok()) {
      return absl::StrContains(metadata.status().message(), object.key)
                 ? metadata.status()
                 : WithContext(metadata.status(), object.key);
    }
    if (!ranks.empty() &&
        ((*metadata)["step"] != step || (*metadata)["world_size"] != world_size)) {
      return CorruptCheckpoint(object.key,
                               "it is of another step or world size than the other ranks' files");
    }
    step = (*metadata)["step"];
    world_size = (*metadata)["world_size"];
    ranks.insert((*metadata)["rank"]);
    common = *std::move(metadata);
  }
  if (ranks.empty()) {
    return Error(absl::StatusCode::kNotFound, reason::kCheckpointNotFound,
                 absl::StrCat("no rank-*.safetensors under ", prefix))
        .Hint("'seer checkpoint list' shows the checkpoints of a job");
  }
  int64_t expected = 0;
  if (!absl::SimpleAtoi(world_size, &expected) || expected < 1)
    return CorruptCheckpoint(prefix, "its world size is unreadable");
  for (int64_t rank = 0; rank < expected; ++rank) {
    if (!ranks.contains(absl::StrCat(rank))) {
      return CorruptCheckpoint(prefix, absl::StrCat(CheckpointFileName(static_cast<int>(rank)),
                                                    " of ", expected, " files is missing"));
    }
  }
  common.erase("rank");
  common.erase(kContentDigestKey);
  return common;
}

}  // namespace seer::engine
