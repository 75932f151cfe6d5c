#include "worker/trainer/id_log.h"

#include <filesystem>
#include <string>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/base/digest.h"
#include "common/base/error.h"
#include "common/objectstore/open_store.h"

namespace seer::worker {

std::string ImageIdHex(const std::array<uint8_t, 32>& id) {
  return ToHex(absl::string_view(reinterpret_cast<const char*>(id.data()), id.size()));
}

absl::StatusOr<std::optional<IdLog>> IdLog::Open(const v1::JobSpec& spec,
                                                 const internal::v1::Assign& assign) {
  if (!spec.data().record_ids()) return std::optional<IdLog>();
  if (IsCloudUri(assign.storage_uri()))
    return Error(absl::StatusCode::kInvalidArgument, reason::kInvalidArgument,
                 "data.recordIds writes to a folder, and storage is in the cloud")
        .Field("data.recordIds")
        .Hint("leave data.recordIds out; `seer pool order` shows which images a step reads");
  const std::filesystem::path folder =
      std::filesystem::path(std::string(absl::StripPrefix(assign.storage_uri(), "file://"))) /
      std::string(absl::StripPrefix(assign.job(), "jobs/")) / "ids";
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  IdLog log;
  log.file_.open(
      folder / absl::StrCat("attempt-", assign.attempt(), "-rank-", assign.rank(), ".jsonl"),
      std::ios::trunc);
  if (!log.file_)
    return Error(absl::StatusCode::kUnavailable, reason::kStorageFailed,
                 absl::StrCat("cannot write below ", folder.string()));
  return std::optional<IdLog>(std::move(log));
}

absl::Status IdLog::Write(const engine::Batch& batch) {
  file_ << "{\"step\":" << batch.step << ",\"ids\":[";
  for (size_t i = 0; i < batch.image_ids.size(); ++i) {
    file_ << (i == 0 ? "\"" : ",\"") << ImageIdHex(batch.image_ids[i]) << '"';
  }
  file_ << "]}\n" << std::flush;
  if (!file_)
    return Error(absl::StatusCode::kResourceExhausted, reason::kDiskFull,
                 "cannot write the log of image ids");
  return absl::OkStatus();
}

}  // namespace seer::worker
