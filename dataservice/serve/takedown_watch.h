// What is taken down of each pool, as streams need it: read again when it is older than
// kPollInterval, once however many streams ask at once. Thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/base/clock.h"
#include "common/base/status_macros.h"
#include "dataservice/pool/read_once_cache.h"
#include "dataservice/pool/takedowns.h"

namespace seer::dataservice {

class TakedownWatch {
 public:
  static constexpr absl::Duration kPollInterval = absl::Seconds(4);

  // Both must outlive this.
  TakedownWatch(ObjectStore& objects, Clock& clock) : objects_(objects), clock_(clock) {}

  // At most kPollInterval old. The store's errors; POOL_CORRUPT as ReadTakedowns. A failure is not
  // kept: the next call reads again.
  absl::StatusOr<std::shared_ptr<const TakedownSet>> Of(const std::string& pool) {
    const auto interval = static_cast<int64_t>(clock_.Steady() / kPollInterval);
    return sets_.Get(
        pool, 1, [&] { return Read(pool); }, interval);
  }
  // As it is now.
  absl::StatusOr<std::shared_ptr<const TakedownSet>> Read(const std::string& pool) {
    SEER_ASSIGN_OR_RETURN(const auto records, ReadTakedowns(objects_, pool));
    return std::make_shared<const TakedownSet>(records);
  }

 private:
  static constexpr int64_t kPools = 64;  // that are kept; others are read each time

  ObjectStore& objects_;
  Clock& clock_;
  ReadOnceCache<std::string, std::shared_ptr<const TakedownSet>> sets_{kPools};
};

}  // namespace seer::dataservice
