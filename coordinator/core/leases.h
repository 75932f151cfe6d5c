// Who was heard of when: a worker that is silent for the lease is given up, and its ranks with it.
// Not thread-safe.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/time/time.h"

namespace seer::coordinator {

class LeaseTable {
 public:
  explicit LeaseTable(absl::Duration lease) : lease_(lease) {}
  absl::Duration lease() const { return lease_; }
  void Renew(const std::string& worker, absl::Duration now) { heard_[worker] = now; }
  // Those whose lease ran out, by name; they leave the table.
  std::vector<std::string> TakeExpired(absl::Duration now);

 private:
  const absl::Duration lease_;
  std::map<std::string, absl::Duration> heard_;  // steady time
};

}  // namespace seer::coordinator
