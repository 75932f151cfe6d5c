#include "coordinator/core/wait.h"

namespace seer::coordinator {

const char* WaitReasonName(WaitReason reason) {
  static constexpr const char* kNames[] = {
      "",         "devices",    "behind",  "quota",    "queue_limit", "capacity",  "labels",
      "topology", "no_workers", "backoff", "deletion", "preempting",  "recovering"};
  return kNames[static_cast<int>(reason)];
}

}  // namespace seer::coordinator
