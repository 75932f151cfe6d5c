// What happens to checkpoints in object storage: the file COMMITTED, deletion, verification.
// Thread-safe. Writes and deletions run on the storage loop, one after the other, and are tried
// again until they work, after 1 s, then up to 30 s, or until another one of the same checkpoint
// takes over: what is deleted is not marked afterwards, and what was written anew only by its own.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "common/base/clock.h"
#include "common/base/loop.h"
#include "common/base/object_store.h"
#include "coordinator/core/effect.h"
#include "coordinator/core/model.h"
#include "coordinator/metrics.h"

namespace seer::coordinator {

class CheckpointFiles {
 public:
  // All must outlive it. `loop` stops before it is destroyed. `may_act`, on the loop: false once
  // another coordinator does it instead; then what was begun is left.
  CheckpointFiles(
      ObjectStore& objects, Loop& loop, Clock& clock, CoordinatorMetrics& metrics,
      std::function<bool()> may_act = [] { return true; })
      : objects_(objects),
        loop_(loop),
        clock_(clock),
        metrics_(metrics),
        may_act_(std::move(may_act)) {}

  void MarkCommitted(const Checkpoint& checkpoint, std::function<void()> done);
  // COMMITTED first, so that a half-deleted checkpoint is never taken for a whole one.
  void Delete(const CheckpointKey& key, std::function<void()> done);
  // Reads all files on the caller's thread, unless it is `cancelled`.
  // DATA_LOSS with CHECKPOINT_CORRUPT names the first bad one.
  absl::Status Verify(const Checkpoint& checkpoint, const std::function<bool()>& cancelled);

 private:
  struct Turn {
    CheckpointKey key;
    uint64_t number = 0;
  };
  Turn TakeTurn(const CheckpointKey& key);  // on the loop, as Try
  void Try(const std::string& what, const Turn& turn, std::function<absl::Status()> action,
           std::function<void()> done, absl::Duration backoff);
  absl::Status DeleteNow(const CheckpointKey& key);
  absl::Status VerifyFile(const Checkpoint& checkpoint, const CheckpointFile& file,
                          const std::function<bool()>& cancelled);

  ObjectStore& objects_;
  Loop& loop_;
  Clock& clock_;
  CoordinatorMetrics& metrics_;
  const std::function<bool()> may_act_;
  std::map<CheckpointKey, uint64_t> turns_;  // newest of what is not done yet; the loop's
  uint64_t last_turn_ = 0;                   // the loop's
};

}  // namespace seer::coordinator
