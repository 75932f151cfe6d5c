// What happens to checkpoints in object storage: the file COMMITTED, deletion, verification.
// Thread-safe. Writes and deletions run on the storage loop, one after the other, and are tried
// again until they work: after 1 s, then up to 30 s.
#pragma once

#include <functional>
#include <string>

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
  // All must outlive it. `loop` stops before it is destroyed.
  CheckpointFiles(ObjectStore& objects, Loop& loop, Clock& clock, CoordinatorMetrics& metrics)
      : objects_(objects), loop_(loop), clock_(clock), metrics_(metrics) {}

  void MarkCommitted(const Checkpoint& checkpoint, std::function<void()> done);
  // COMMITTED first, so that a half-deleted checkpoint is never taken for a whole one.
  void Delete(const CheckpointKey& key, std::function<void()> done);
  // Reads all files on the caller's thread.
  // DATA_LOSS with CHECKPOINT_CORRUPT names the first bad one.
  absl::Status Verify(const Checkpoint& checkpoint);

 private:
  void Try(const std::string& what, std::function<absl::Status()> action,
           std::function<void()> done, absl::Duration backoff);
  absl::Status DeleteNow(const CheckpointKey& key);
  absl::Status VerifyFile(const Checkpoint& checkpoint, const CheckpointFile& file);

  ObjectStore& objects_;
  Loop& loop_;
  Clock& clock_;
  CoordinatorMetrics& metrics_;
};

}  // namespace seer::coordinator
