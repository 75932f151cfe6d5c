// Passes everything on to another store; counts what is read, and tells of it before it happens.
// Thread-safe if `inner`, which must outlive it, and `on_read` are.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "tests/support/forwarding_store.h"

namespace seer::testing {

class WatchedStore final : public ForwardingStore {
 public:
  // `on_read`: called with the key before each Get and GetRange. Reads of keys that contain
  // `counted` are counted.
  explicit WatchedStore(
      ObjectStore& inner, std::string counted = "",
      std::function<void(absl::string_view key)> on_read = [](absl::string_view) {})
      : ForwardingStore(inner), counted_(std::move(counted)), on_read_(std::move(on_read)) {}

  int64_t reads() const { return reads_; }
  int64_t bytes_read() const { return bytes_read_; }

  absl::StatusOr<std::string> Get(absl::string_view key) override {
    on_read_(key);
    return Count(key, inner_.Get(key));
  }
  absl::StatusOr<std::string> GetRange(absl::string_view key, int64_t offset,
                                       int64_t length) override {
    on_read_(key);
    return Count(key, inner_.GetRange(key, offset, length));
  }

 private:
  absl::StatusOr<std::string> Count(absl::string_view key, absl::StatusOr<std::string> bytes) {
    if (bytes.ok() && absl::StrContains(key, counted_)) {
      ++reads_;
      bytes_read_ += static_cast<int64_t>(bytes->size());
    }
    return bytes;
  }

  const std::string counted_;
  const std::function<void(absl::string_view key)> on_read_;
  std::atomic<int64_t> reads_{0}, bytes_read_{0};
};

}  // namespace seer::testing
