// Makes a store out of one whose calls may fail, stall or be cut short: calls are tried again after
// a random, growing wait; a slow read gets a second one, and the first answer counts; what is
// shorter than it should be is an error; and while nothing but failures come back, one call at a
// time is let through until one succeeds. Thread-safe.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "common/base/clock.h"
#include "common/base/object_store.h"
#include "common/objectstore/circuit_breaker.h"
#include "common/objectstore/hedge.h"
#include "common/objectstore/read_threads.h"

namespace seer {

// Hears what a RetryingStore does; called from any thread, often: must be quick.
// `operation` is "get", "stat", "put", "list" or "delete".
class StoreObserver {
 public:
  virtual ~StoreObserver() = default;
  virtual void OnAnswer(absl::string_view operation, absl::StatusCode code) = 0;  // each attempt
  virtual void OnRetry(absl::string_view operation, absl::Duration wait) = 0;
  virtual void OnHedge(bool won) = 0;  // a second read, and whether it was the quicker one
  virtual void OnBreaker(CircuitBreaker::State state) = 0;  // when it changes
};

struct RetryingStoreOptions {
  int max_attempts = 16;
  // The wait after attempt n is uniform in [0, min(max_backoff, first_backoff * 2^(n-1))).
  absl::Duration first_backoff = absl::Milliseconds(100);
  absl::Duration max_backoff = absl::Seconds(10);
  absl::Duration deadline = absl::Minutes(2);  // of a call: no attempt begins after it
  CircuitBreaker::Options breaker;
  HedgePolicy::Options hedge;
  int read_threads = 128;  // reads that may be hedged at once; those above are plain reads
  StoreObserver* observer = nullptr;          // outlives the store; null: nobody listens
  std::function<void(absl::Duration)> sleep;  // empty: the thread sleeps; tests move their clock
};

// Errors: those of the inner store; after the last attempt with the number of attempts in front.
// UNAVAILABLE with STORAGE_CIRCUIT_OPEN: the storage failed all the time until the deadline.
class RetryingStore final : public ObjectStore {
 public:
  // `clock` must outlive the store.
  RetryingStore(std::unique_ptr<ObjectStore> inner, Clock& clock, RetryingStoreOptions options);
  ~RetryingStore() override;  // waits for reads that lost against their second one

  // In parts, each tried again by itself; an object of more than one part that is replaced while it
  // is read by one of another size is UNAVAILABLE. One of the same size is not noticed.
  absl::StatusOr<std::string> Get(absl::string_view key) override;
  absl::StatusOr<std::string> GetRange(absl::string_view key, int64_t offset,
                                       int64_t length) override;
  absl::StatusOr<ObjectInfo> Stat(absl::string_view key) override;
  absl::Status Put(absl::string_view key, absl::string_view bytes) override;
  // An attempt whose answer was lost may have written: then the object that is there is compared.
  absl::Status PutIfAbsent(absl::string_view key, absl::string_view bytes) override;
  // Only the opening is tried again; a writer that fails has failed.
  absl::StatusOr<std::unique_ptr<ObjectWriter>> OpenWriter(absl::string_view key) override;
  absl::StatusOr<std::vector<ObjectInfo>> List(absl::string_view prefix) override;
  absl::StatusOr<std::vector<std::string>> TopFolders() override;
  absl::Status Delete(absl::string_view key) override;

 private:
  struct Read;
  // Calls until it is not worth another try.
  absl::Status Try(absl::string_view operation, const std::function<absl::Status()>& call);
  void Record(absl::string_view operation, const absl::Status& status);
  // One attempt at reading, hedged.
  absl::StatusOr<std::string> ReadOnce(absl::string_view key, int64_t offset, int64_t length);
  // One attempt that has all the bytes there are.
  absl::StatusOr<std::string> ReadWhole(absl::string_view key, int64_t offset, int64_t length);

  const std::unique_ptr<ObjectStore> inner_;
  Clock& clock_;
  const RetryingStoreOptions options_;
  CircuitBreaker breaker_;
  std::atomic<CircuitBreaker::State> breaker_state_{CircuitBreaker::State::kClosed};
  HedgePolicy hedge_;
  ReadThreads threads_;  // last: its tasks use the inner store
};

}  // namespace seer
