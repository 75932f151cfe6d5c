#include "engine/checkpoint/files.h"

#include <algorithm>
#include <memory>
#include <set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/base/digest.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"

namespace seer::engine {
namespace {

absl::string_view Bytes(const Sha256Digest& digest) {
  return {reinterpret_cast<const char*>(digest.data()), digest.size()};
}

std::string HeadWithoutDigests(SafetensorsHeader header) {
  header.metadata.erase(kTreeDigestKey);
  header.metadata.erase(kContentDigestKey);
  return EncodeSafetensorsHeader(header);
}

int64_t PieceCount(absl::string_view data) {
  return (static_cast<int64_t>(data.size()) + kDigestPieceBytes - 1) / kDigestPieceBytes;
}

absl::string_view Piece(absl::string_view data, int64_t index) {
  return data.substr(static_cast<size_t>(index * kDigestPieceBytes),
                     static_cast<size_t>(kDigestPieceBytes));
}

// The digest of the pieces' digests.
std::string JoinPieces(const SafetensorsHeader& header, const std::vector<Sha256Digest>& pieces) {
  Sha256Stream digest;
  digest.Update(HeadWithoutDigests(header));
  for (const Sha256Digest& piece : pieces) digest.Update(Bytes(piece));
  return ToHex(Bytes(digest.Finish()));
}

std::string Metadata(const CheckpointPart& part, const std::string& key) {
  const auto found = part.header.metadata.find(key);
  return found == part.header.metadata.end() ? "" : found->second;
}

absl::StatusOr<CheckpointPart> ReadHeader(ObjectStore& store, const ObjectInfo& object) {
  CheckpointPart part;
  part.key = object.key;
  SEER_ASSIGN_OR_RETURN(part.head, store.GetRange(object.key, 0, kSafetensorsPrefixBytes));
  SEER_ASSIGN_OR_RETURN(const int64_t header_bytes,
                        SafetensorsHeaderBytes(part.head, object.size_bytes));
  SEER_ASSIGN_OR_RETURN(const std::string json,
                        store.GetRange(object.key, kSafetensorsPrefixBytes, header_bytes));
  SEER_ASSIGN_OR_RETURN(part.header, DecodeSafetensorsHeader(json, object.size_bytes));
  part.head += json;
  if (Metadata(part, kTreeDigestKey).empty() && Metadata(part, kContentDigestKey).empty())
    return CorruptCheckpoint(object.key, "it carries no digest (SHA-256) of its content");
  for (const SafetensorsEntry& entry : part.header.entries) {
    if (entry.dtype != "F32" && entry.dtype != "I64") {
      return CorruptCheckpoint(object.key,
                               absl::StrCat("tensor '", entry.name, "' is of type ", entry.dtype));
    }
  }
  return part;
}

// All ranks of one gang, at one step, and no tensor twice.
absl::Status CheckParts(const std::vector<CheckpointPart>& parts, const std::string& prefix) {
  if (parts.empty()) {
    return Error(absl::StatusCode::kNotFound, reason::kCheckpointNotFound,
                 absl::StrCat("no rank-*.safetensors under ", prefix))
        .Hint("'seer checkpoint list' shows the checkpoints of a job");
  }
  std::set<std::string> names, ranks;
  for (const CheckpointPart& part : parts) {
    if (Metadata(part, "step") != Metadata(parts[0], "step") ||
        Metadata(part, "world_size") != Metadata(parts[0], "world_size")) {
      return CorruptCheckpoint(part.key,
                               "it is of another step or world size than the other ranks' files");
    }
    for (const SafetensorsEntry& entry : part.header.entries) {
      if (!names.insert(entry.name).second)
        return CorruptCheckpoint(part.key,
                                 absl::StrCat("tensor '", entry.name, "' is in two files"));
    }
    ranks.insert(Metadata(part, "rank"));
  }
  int64_t expected = 0;
  if (!absl::SimpleAtoi(Metadata(parts[0], "world_size"), &expected) || expected < 1)
    return CorruptCheckpoint(prefix, "its world size is unreadable");
  for (int64_t rank = 0; rank < expected; ++rank) {
    if (!ranks.contains(absl::StrCat(rank))) {
      return CorruptCheckpoint(prefix, absl::StrCat(CheckpointFileName(static_cast<int>(rank)),
                                                    " of ", expected, " files is missing"));
    }
  }
  return absl::OkStatus();
}

absl::Status WithKey(const absl::Status& status, const std::string& key) {
  return absl::StrContains(status.message(), key) ? status : WithContext(status, key);
}

}  // namespace

void RunSerially(int64_t count, const std::function<void(int64_t)>& body) {
  for (int64_t i = 0; i < count; ++i) body(i);
}

std::string TreeDigest(SafetensorsHeader header, absl::string_view data) {
  std::vector<Sha256Digest> pieces;
  for (int64_t i = 0; i < PieceCount(data); ++i) pieces.push_back(Sha256(Piece(data, i)));
  return JoinPieces(header, pieces);
}

std::string ContentDigest(SafetensorsHeader header, absl::string_view data) {
  Sha256Stream digest;
  digest.Update(HeadWithoutDigests(std::move(header)));
  digest.Update(data);
  return ToHex(Bytes(digest.Finish()));
}

std::string CheckpointFileName(int rank) { return absl::StrCat("rank-", rank, ".safetensors"); }

absl::Status CorruptCheckpoint(absl::string_view name, absl::string_view what) {
  return Error(absl::StatusCode::kDataLoss, reason::kCheckpointCorrupt,
               absl::StrCat("checkpoint ", name, ": ", what))
      .Hint("restore from an older checkpoint: 'seer checkpoint list' shows them")
      .With("checkpoint", name);
}

absl::StatusOr<CheckpointFiles> CheckpointFiles::Open(ObjectStore& store,
                                                      const std::string& prefix) {
  SEER_ASSIGN_OR_RETURN(const std::vector<ObjectInfo> objects, store.List(prefix + "/rank-"));
  CheckpointFiles files(store);
  for (const ObjectInfo& object : objects) {
    if (!absl::EndsWith(object.key, ".safetensors")) continue;
    auto part = ReadHeader(store, object);
    if (!part.ok()) return WithKey(part.status(), object.key);
    files.parts_.push_back(*std::move(part));
  }
  SEER_RETURN_IF_ERROR(CheckParts(files.parts_, prefix));
  files.metadata_ = files.parts_[0].header.metadata;
  for (const char* of_one_file : {"rank", kTreeDigestKey, kContentDigestKey})
    files.metadata_.erase(of_one_file);
  return files;
}

absl::Status CheckpointFiles::Read(const ParallelFor& run, const PieceVisitor& piece,
                                   const PartVisitor& verified) const {
  for (size_t index = 0; index < parts_.size(); ++index) {
    const absl::Status status = ReadPart(index, run, piece, verified);
    if (!status.ok()) return WithKey(status, parts_[index].key);
  }
  return absl::OkStatus();
}

absl::Status CheckpointFiles::ReadPart(size_t index, const ParallelFor& run,
                                       const PieceVisitor& piece,
                                       const PartVisitor& verified) const {
  const CheckpointPart& part = parts_[index];
  SEER_ASSIGN_OR_RETURN(const std::unique_ptr<ObjectView> view, store_->View(part.key));
  const auto head_bytes = static_cast<int64_t>(part.head.size());
  const absl::string_view file = view->bytes();
  if (static_cast<int64_t>(file.size()) != head_bytes + part.header.data_bytes() ||
      !absl::StartsWith(file, part.head))
    return CorruptCheckpoint(part.key, "it was replaced while it was read");
  const absl::string_view data = file.substr(part.head.size());
  const int64_t count = PieceCount(data);
  const auto visit = [&](int64_t i, const auto& hash) {
    const absl::string_view bytes = Piece(data, i);
    view->Prefetch(head_bytes + i * kDigestPieceBytes, static_cast<int64_t>(bytes.size()));
    hash(bytes);
    const int64_t begin = i * kDigestPieceBytes;
    if (piece) piece(index, data, begin, begin + static_cast<int64_t>(bytes.size()));
  };
  bool right = false;
  if (const std::string wanted = Metadata(part, kTreeDigestKey); !wanted.empty()) {
    std::vector<Sha256Digest> digests(static_cast<size_t>(count));
    run(count, [&](int64_t i) {
      visit(i, [&](absl::string_view bytes) { digests[static_cast<size_t>(i)] = Sha256(bytes); });
    });
    right = JoinPieces(part.header, digests) == wanted;
  } else {
    Sha256Stream digest;
    digest.Update(HeadWithoutDigests(part.header));
    for (int64_t i = 0; i < count; ++i)
      visit(i, [&](absl::string_view bytes) { digest.Update(bytes); });
    right = ToHex(Bytes(digest.Finish())) == Metadata(part, kContentDigestKey);
  }
  if (!right) {
    return CorruptCheckpoint(part.key,
                             "its bytes are not those that were written (SHA-256 differs)");
  }
  return verified ? verified(index, data) : absl::OkStatus();
}

absl::StatusOr<std::map<std::string, std::string>> VisitCheckpoint(ObjectStore& store,
                                                                   const std::string& prefix,
                                                                   const TensorVisitor& visit) {
  SEER_ASSIGN_OR_RETURN(const CheckpointFiles files, CheckpointFiles::Open(store, prefix));
  SEER_RETURN_IF_ERROR(
      files.Read(RunSerially, {}, [&](size_t part, absl::string_view data) -> absl::Status {
        for (const SafetensorsEntry& entry : files.parts()[part].header.entries) {
          SEER_RETURN_IF_ERROR(visit(entry, data.substr(static_cast<size_t>(entry.begin),
                                                        static_cast<size_t>(entry.size_bytes()))));
        }
        return absl::OkStatus();
      }));
  return files.metadata();
}

}  // namespace seer::engine
