// Passes every call on to another store, which must outlive it; tests change some. Thread-safe if
// that store is.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "common/base/object_store.h"

namespace seer::testing {

class ForwardingStore : public ObjectStore {
 public:
  explicit ForwardingStore(ObjectStore& inner) : inner_(inner) {}
  absl::StatusOr<std::string> Get(absl::string_view key) override { return inner_.Get(key); }
  absl::StatusOr<std::string> GetRange(absl::string_view key, int64_t offset,
                                       int64_t length) override {
    return inner_.GetRange(key, offset, length);
  }
  absl::StatusOr<ObjectInfo> Stat(absl::string_view key) override { return inner_.Stat(key); }
  absl::Status Put(absl::string_view key, absl::string_view bytes) override {
    return inner_.Put(key, bytes);
  }
  absl::Status PutIfAbsent(absl::string_view key, absl::string_view bytes) override {
    return inner_.PutIfAbsent(key, bytes);
  }
  absl::StatusOr<std::unique_ptr<ObjectWriter>> OpenWriter(absl::string_view key) override {
    return inner_.OpenWriter(key);
  }
  absl::StatusOr<std::vector<ObjectInfo>> List(absl::string_view prefix) override {
    return inner_.List(prefix);
  }
  absl::Status Delete(absl::string_view key) override { return inner_.Delete(key); }

 protected:
  ObjectStore& inner_;
};

}  // namespace seer::testing
