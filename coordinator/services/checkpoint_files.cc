#include "coordinator/services/checkpoint_files.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/digest.h"
#include "common/base/error.h"
#include "common/base/failpoint.h"
#include "common/base/log.h"
#include "common/base/status_macros.h"
#include "coordinator/services/convert.h"
#include "coordinator/store/leader_lease.h"

namespace seer::coordinator {
namespace {

constexpr int64_t kReadBytes = 4 << 20;
constexpr absl::Duration kFirstBackoff = absl::Seconds(1);
constexpr absl::Duration kMaxBackoff = absl::Seconds(30);
constexpr char kCommitted[] = "/COMMITTED";

std::string CommittedJson(const Checkpoint& checkpoint) {
  nlohmann::json files = nlohmann::json::array();
  for (const CheckpointFile& file : checkpoint.files) {
    files.push_back(
        {{"name", file.name}, {"size_bytes", file.size_bytes}, {"sha256", file.sha256}});
  }
  const nlohmann::json out = {{"job", checkpoint.job},
                              {"step", checkpoint.step},
                              {"attempt", checkpoint.attempt},
                              {"files", files}};
  return out.dump(1) + "\n";
}

absl::Status Corrupt(const Checkpoint& checkpoint, const CheckpointFile& file,
                     const std::string& what) {
  return Error(absl::StatusCode::kDataLoss, reason::kCheckpointCorrupt,
               absl::StrCat("checkpoint ", checkpoint.step, " of ", checkpoint.job, ": ", file.name,
                            " ", what))
      .Hint(
          "restore the file from a copy, or start from an older checkpoint; `seer checkpoint list` "
          "shows them")
      .With("file", file.name);
}

}  // namespace

void CheckpointFiles::Try(const std::string& what, const Turn& turn,
                          std::function<absl::Status()> action, std::function<void()> done,
                          absl::Duration backoff) {
  const auto newest = turns_.find(turn.key);
  if (newest == turns_.end() || newest->second != turn.number) return;  // another one took over
  const absl::Status status = may_act_() ? action() : NotLeader("");
  if (HasReason(status, reason::kNotLeader)) {
    turns_.erase(newest);
    return;
  }
  if (status.ok()) {
    turns_.erase(newest);
    return done();
  }
  metrics_.checkpoint_failures.Add(1, {{"reason", what}});
  LogWarn(
      "checkpoint_files_failed",
      {{"what", what}, {"error", StatusText(status)}, {"again_in", absl::FormatDuration(backoff)}});
  loop_.After(backoff,
              [=, this] { Try(what, turn, action, done, std::min(backoff * 2, kMaxBackoff)); });
}

CheckpointFiles::Turn CheckpointFiles::TakeTurn(const CheckpointKey& key) {
  return {key, turns_[key] = ++last_turn_};
}

void CheckpointFiles::MarkCommitted(const Checkpoint& checkpoint, std::function<void()> done) {
  loop_.Post([this, checkpoint, done = std::move(done)] {
    const absl::Duration start = clock_.Steady();
    const auto write = [this, checkpoint] {
      SEER_FAILPOINT("coordinator.before_committed_file");
      return objects_.Put(CheckpointKeyPrefix(checkpoint.job, checkpoint.step) + kCommitted,
                          CommittedJson(checkpoint));
    };
    const auto finish = [this, start, done] {
      metrics_.checkpoint_seconds.Observe(absl::ToDoubleSeconds(clock_.Steady() - start),
                                          {{"stage", "commit"}});
      done();
    };
    Try("commit", TakeTurn({checkpoint.job, checkpoint.step}), write, finish, kFirstBackoff);
  });
}

void CheckpointFiles::Delete(const CheckpointKey& key, std::function<void()> done) {
  loop_.Post([this, key, done = std::move(done)] {
    Try(
        "delete", TakeTurn(key), [this, key] { return DeleteNow(key); }, done, kFirstBackoff);
  });
}

absl::Status CheckpointFiles::DeleteNow(const CheckpointKey& key) {
  const std::string folder = CheckpointKeyPrefix(key.first, key.second);
  SEER_RETURN_IF_ERROR(objects_.Delete(folder + kCommitted));
  SEER_ASSIGN_OR_RETURN(const auto objects, objects_.List(folder + "/"));
  for (const ObjectInfo& object : objects) {
    if (!may_act_()) return NotLeader("");
    SEER_RETURN_IF_ERROR(objects_.Delete(object.key));
  }
  return absl::OkStatus();
}

absl::Status CheckpointFiles::Verify(const Checkpoint& checkpoint,
                                     const std::function<bool()>& cancelled) {
  const absl::Duration start = clock_.Steady();
  for (const CheckpointFile& file : checkpoint.files) {
    const absl::Status status = VerifyFile(checkpoint, file, cancelled);
    if (status.ok()) continue;
    if (absl::IsCancelled(status)) return status;
    metrics_.checkpoint_failures.Add(1, {{"reason", "verify"}});
    return status;
  }
  metrics_.checkpoint_seconds.Observe(absl::ToDoubleSeconds(clock_.Steady() - start),
                                      {{"stage", "verify"}});
  return absl::OkStatus();
}

absl::Status CheckpointFiles::VerifyFile(const Checkpoint& checkpoint, const CheckpointFile& file,
                                         const std::function<bool()>& cancelled) {
  const std::string key =
      absl::StrCat(CheckpointKeyPrefix(checkpoint.job, checkpoint.step), "/", file.name);
  const auto found = objects_.Stat(key);
  if (absl::IsNotFound(found.status())) return Corrupt(checkpoint, file, "is missing");
  SEER_RETURN_IF_ERROR(found.status());
  if (found->size_bytes != file.size_bytes) {
    return Corrupt(checkpoint, file,
                   absl::StrCat("has ", found->size_bytes, " bytes, not ", file.size_bytes));
  }
  Sha256Stream hash;
  for (int64_t offset = 0; offset < file.size_bytes; offset += kReadBytes) {
    if (cancelled()) return absl::CancelledError("nobody waits for the verification any more");
    SEER_ASSIGN_OR_RETURN(const std::string bytes, objects_.GetRange(key, offset, kReadBytes));
    hash.Update(bytes);
  }
  const Sha256Digest digest = hash.Finish();
  const std::string hex =
      ToHex(absl::string_view(reinterpret_cast<const char*>(digest.data()), digest.size()));
  return hex == file.sha256
             ? absl::OkStatus()
             : Corrupt(checkpoint, file, "has another digest than when it was written");
}

}  // namespace seer::coordinator
