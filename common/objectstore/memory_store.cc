#include "common/objectstore/memory_store.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "common/base/clock.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"

namespace seer {
namespace {

class MemoryStore final : public ObjectStore {
 public:
  absl::StatusOr<std::string> Get(absl::string_view key) override {
    absl::MutexLock lock(&mu_);
    const auto it = objects_.find(std::string(key));
    if (it == objects_.end()) return NotFound(key);
    return it->second.bytes;
  }
  absl::StatusOr<std::string> GetRange(absl::string_view key, int64_t offset,
                                       int64_t length) override {
    SEER_ASSIGN_OR_RETURN(std::string bytes, Get(key));
    if (offset >= static_cast<int64_t>(bytes.size())) return std::string();
    return bytes.substr(static_cast<size_t>(offset), static_cast<size_t>(length));
  }
  absl::StatusOr<ObjectInfo> Stat(absl::string_view key) override {
    SEER_ASSIGN_OR_RETURN(std::string bytes, Get(key));
    return ObjectInfo{std::string(key), static_cast<int64_t>(bytes.size())};
  }
  absl::Status Put(absl::string_view key, absl::string_view bytes) override {
    absl::MutexLock lock(&mu_);
    objects_[std::string(key)] = {std::string(bytes), Clock::Real().Now()};
    return absl::OkStatus();
  }
  absl::Status PutIfAbsent(absl::string_view key, absl::string_view bytes) override {
    absl::MutexLock lock(&mu_);
    if (!objects_.emplace(std::string(key), Object{std::string(bytes), Clock::Real().Now()})
             .second) {
      return absl::AlreadyExistsError(absl::StrCat(key, " is there already"));
    }
    return absl::OkStatus();
  }
  absl::StatusOr<std::unique_ptr<ObjectWriter>> OpenWriter(absl::string_view key) override {
    return std::unique_ptr<ObjectWriter>(std::make_unique<Writer>(*this, std::string(key)));
  }
  absl::StatusOr<std::vector<ObjectInfo>> List(absl::string_view prefix) override {
    absl::MutexLock lock(&mu_);
    std::vector<ObjectInfo> found;
    for (auto it = objects_.lower_bound(std::string(prefix));
         it != objects_.end() && absl::StartsWith(it->first, prefix); ++it) {
      found.push_back(
          {it->first, static_cast<int64_t>(it->second.bytes.size()), it->second.modified});
    }
    return found;
  }
  absl::Status Delete(absl::string_view key) override {
    absl::MutexLock lock(&mu_);
    objects_.erase(std::string(key));
    return absl::OkStatus();
  }

 private:
  struct Object {
    std::string bytes;
    absl::Time modified;
  };
  class Writer final : public ObjectWriter {
   public:
    Writer(MemoryStore& store, std::string key) : store_(store), key_(std::move(key)) {}
    absl::Status Append(absl::string_view bytes) override {
      absl::StrAppend(&bytes_, bytes);
      return absl::OkStatus();
    }
    absl::Status Commit() override { return store_.Put(key_, bytes_); }

   private:
    MemoryStore& store_;
    const std::string key_;
    std::string bytes_;
  };

  static absl::Status NotFound(absl::string_view key) {
    return Error(absl::StatusCode::kNotFound, reason::kObjectNotFound,
                 absl::StrCat("no object ", key))
        .With("path", key);
  }

  absl::Mutex mu_;
  std::map<std::string, Object> objects_ ABSL_GUARDED_BY(mu_);
};

}  // namespace

std::unique_ptr<ObjectStore> MakeMemoryStore() { return std::make_unique<MemoryStore>(); }

}  // namespace seer
