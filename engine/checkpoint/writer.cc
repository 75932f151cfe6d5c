#include "engine/checkpoint/writer.h"

#include <memory>

#include "absl/strings/str_cat.h"
#include "common/base/digest.h"
#include "common/base/error.h"
#include "common/base/failpoint.h"
#include "common/base/status_macros.h"
#include "engine/checkpoint/files.h"

namespace seer::engine {
namespace {

constexpr size_t kPieceBytes = size_t{8} << 20;

std::string Hex(Sha256Stream& stream) {
  const Sha256Digest digest = stream.Finish();
  return ToHex(absl::string_view(reinterpret_cast<const char*>(digest.data()), digest.size()));
}

}  // namespace

absl::StatusOr<CheckpointFile> WriteSnapshot(const HostSnapshot& snapshot, ObjectStore& store,
                                             const std::string& prefix) {
  SafetensorsHeader header = snapshot.header;
  header.metadata[kTreeDigestKey] = TreeDigest(header, snapshot.data());
  const std::string head = EncodeSafetensorsHeader(header);

  CheckpointFile file;
  file.name = CheckpointFileName(snapshot.rank);
  file.size_bytes = static_cast<int64_t>(head.size() + snapshot.data().size());
  const std::string key = absl::StrCat(prefix, "/", file.name);
  SEER_ASSIGN_OR_RETURN(const std::unique_ptr<ObjectWriter> writer, store.OpenWriter(key));
  Sha256Stream digest;
  digest.Update(head);
  absl::Status status = writer->Append(head);
  const absl::string_view data = snapshot.data();
  for (size_t at = 0; at < data.size() && status.ok(); at += kPieceBytes) {
    const absl::string_view piece = data.substr(at, kPieceBytes);
    digest.Update(piece);
    status = writer->Append(piece);
    if (status.ok()) status = SEER_FAILPOINT_STATUS("checkpoint.write");
  }
  if (status.ok()) status = writer->Commit();
  if (!status.ok()) return WithContext(status, absl::StrCat("writing ", key));
  file.sha256 = Hex(digest);
  return file;
}

}  // namespace seer::engine
