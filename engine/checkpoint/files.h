// The files of a checkpoint as named, digested byte ranges: "<prefix>/rank-*.safetensors", written
// by any world size, seen as one set of tensors. No torch, so that tools can use it alone.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/base/object_store.h"
#include "engine/checkpoint/safetensors.h"

namespace seer::engine {

// The metadata keys under which a file carries a digest of its content: a reader can tell a flipped
// bit without the coordinator's record. Files have the one or, older ones, the other.
inline constexpr char kTreeDigestKey[] = "content_tree_sha256";
inline constexpr char kContentDigestKey[] = "content_sha256";

inline constexpr int64_t kDigestPieceBytes = int64_t{4} << 20;

// Calls body(0) to body(count - 1), each once, in any order and perhaps on several threads at once;
// returns when all have returned.
using ParallelFor = std::function<void(int64_t count, const std::function<void(int64_t)>& body)>;
void RunSerially(int64_t count, const std::function<void(int64_t)>& body);

// SHA-256 (hex) of the header as it would be encoded without digest keys, then of the SHA-256 of
// each kDigestPieceBytes of the data in order (the last piece may be shorter): names, shapes, step
// and every other word of the metadata are under it, and pieces can be hashed at the same time.
std::string TreeDigest(SafetensorsHeader header, absl::string_view data);
// Of older files: SHA-256 (hex) of the header without digest keys, then of the data.
std::string ContentDigest(SafetensorsHeader header, absl::string_view data);

// The name of a rank's file within the checkpoint's folder.
std::string CheckpointFileName(int rank);

// DATA_LOSS with CHECKPOINT_CORRUPT: what is wrong with the checkpoint, or the file, `name`.
absl::Status CorruptCheckpoint(absl::string_view name, absl::string_view what);

// One file, as its header tells: not yet verified.
struct CheckpointPart {
  std::string key;
  std::string head;  // the file's bytes before the data
  SafetensorsHeader header;
};

// The headers of a checkpoint's files, and a way to read their data once. Thread-compatible.
class CheckpointFiles {
 public:
  // Reads the headers. `store` must outlive this.
  // NOT_FOUND with CHECKPOINT_NOT_FOUND: no such file. DATA_LOSS with CHECKPOINT_CORRUPT: a file is
  // missing, torn, of another step than its siblings, or carries no digest; a tensor is in two
  // files, or neither F32 nor I64. Errors of the store pass through, with the object's key in
  // front.
  static absl::StatusOr<CheckpointFiles> Open(ObjectStore& store, const std::string& prefix);

  const std::vector<CheckpointPart>& parts() const { return parts_; }
  // Common to all files. To be trusted once Read was OK.
  const std::map<std::string, std::string>& metadata() const { return metadata_; }

  // data: all of the file's; bytes [begin, end) of it are meant. Called at any thread of `run`.
  using PieceVisitor =
      std::function<void(size_t part, absl::string_view data, int64_t begin, int64_t end)>;
  // The file has the digest it was written with; `data` lives as long as the call.
  using PartVisitor = std::function<absl::Status(size_t part, absl::string_view data)>;
  // Hashes the files one after the other (mapped where the store can), the pieces of each with
  // `run`, and hands every piece to `piece` while it is in the cache: before its digest is known.
  // Then `verified` is called; its first error ends the walk. Each visitor may be empty.
  // DATA_LOSS with CHECKPOINT_CORRUPT: bytes are not those that were written.
  absl::Status Read(const ParallelFor& run, const PieceVisitor& piece,
                    const PartVisitor& verified) const;

 private:
  explicit CheckpointFiles(ObjectStore& store) : store_(&store) {}
  absl::Status ReadPart(size_t index, const ParallelFor& run, const PieceVisitor& piece,
                        const PartVisitor& verified) const;

  ObjectStore* store_;
  std::vector<CheckpointPart> parts_;
  std::map<std::string, std::string> metadata_;
};

// Called once a tensor (F32 or I64), with its bytes, which live as long as the call.
using TensorVisitor = std::function<absl::Status(const SafetensorsEntry&, absl::string_view bytes)>;

// Reads the files one after the other, verifies each, then visits its tensors. Returns the metadata
// that is common to all files. The first error of a visit ends the walk. Errors: as of Open and
// Read.
absl::StatusOr<std::map<std::string, std::string>> VisitCheckpoint(ObjectStore& store,
                                                                   const std::string& prefix,
                                                                   const TensorVisitor& visit);

}  // namespace seer::engine
