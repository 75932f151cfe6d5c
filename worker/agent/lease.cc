#include "worker/agent/lease.h"

namespace seer::worker {

void Lease::Welcomed(absl::Duration now, absl::Duration lease) {
  connected_ = true;
  if (lease > absl::ZeroDuration()) lease_ = lease;
  last_ack_ = now;
}

}  // namespace seer::worker
