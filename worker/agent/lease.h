// The agent's side of its lease: how long its ranks may go on without the coordinator's word. Pure:
// the time comes in. Not thread-safe; the agent's loop owns it.
#pragma once

#include "absl/time/time.h"

namespace seer::worker {

class Lease {
 public:
  // While the coordinator is merely away (restarting, network), ranks train on for so many leases;
  // while it is connected but does not acknowledge, one lease is enough: it has given them up.
  static constexpr int kLeasesUnreachable = 10;

  explicit Lease(absl::Duration now) : last_ack_(now) {}

  void Welcomed(absl::Duration now, absl::Duration lease);
  void Acknowledged(absl::Duration now) { last_ack_ = now; }
  void Disconnected() { connected_ = false; }

  bool connected() const { return connected_; }
  absl::Duration Silence(absl::Duration now) const { return now - last_ack_; }
  // The coordinator has acknowledged within a lease.
  bool Held(absl::Duration now) const { return Silence(now) <= lease_; }
  // A coordinator that says nothing for so long is left for another one, well before the lease of
  // the open stream ends.
  absl::Duration SilenceLimit() const { return lease_ / 3; }
  // The ranks must not go on.
  bool Lost(absl::Duration now) const {
    return Silence(now) > (connected_ ? lease_ : lease_ * kLeasesUnreachable);
  }

 private:
  bool connected_ = false;  // welcomed on the present stream
  absl::Duration lease_ = absl::Seconds(15), last_ack_;
};

}  // namespace seer::worker
