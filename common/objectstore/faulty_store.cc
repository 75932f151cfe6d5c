#include "common/objectstore/faulty_store.h"

#include <atomic>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"

namespace seer {
namespace {

class FaultyStore final : public ObjectStore {
 public:
  FaultyStore(ObjectStore& inner, Faults faults) : inner_(inner), faults_(std::move(faults)) {}

  absl::StatusOr<std::string> Get(absl::string_view key) override {
    SEER_RETURN_IF_ERROR(Check("get", key));
    return Corrupted(key, inner_.Get(key));
  }
  absl::StatusOr<std::string> GetRange(absl::string_view key, int64_t offset,
                                       int64_t length) override {
    SEER_RETURN_IF_ERROR(Check("get", key));
    return Corrupted(key, inner_.GetRange(key, offset, length));
  }
  absl::StatusOr<ObjectInfo> Stat(absl::string_view key) override {
    SEER_RETURN_IF_ERROR(Check("get", key));
    return inner_.Stat(key);
  }
  absl::Status Put(absl::string_view key, absl::string_view bytes) override {
    SEER_RETURN_IF_ERROR(Check("put", key));
    SEER_RETURN_IF_ERROR(Take(key, bytes.size()));
    return inner_.Put(key, bytes);
  }
  absl::Status PutIfAbsent(absl::string_view key, absl::string_view bytes) override {
    SEER_RETURN_IF_ERROR(Check("put", key));
    SEER_RETURN_IF_ERROR(Take(key, bytes.size()));
    return inner_.PutIfAbsent(key, bytes);
  }
  absl::StatusOr<std::unique_ptr<ObjectWriter>> OpenWriter(absl::string_view key) override {
    SEER_RETURN_IF_ERROR(Check("put", key));
    SEER_ASSIGN_OR_RETURN(auto writer, inner_.OpenWriter(key));
    return std::unique_ptr<ObjectWriter>(
        std::make_unique<Writer>(*this, std::string(key), std::move(writer)));
  }
  absl::StatusOr<std::vector<ObjectInfo>> List(absl::string_view prefix) override {
    SEER_RETURN_IF_ERROR(Check("list", prefix));
    return inner_.List(prefix);
  }
  absl::StatusOr<std::vector<std::string>> TopFolders() override {
    SEER_RETURN_IF_ERROR(Check("list", ""));
    return inner_.TopFolders();
  }
  absl::Status Delete(absl::string_view key) override {
    SEER_RETURN_IF_ERROR(Check("delete", key));
    return inner_.Delete(key);
  }

 private:
  class Writer final : public ObjectWriter {
   public:
    Writer(FaultyStore& store, std::string key, std::unique_ptr<ObjectWriter> inner)
        : store_(store), key_(std::move(key)), inner_(std::move(inner)) {}
    absl::Status Append(absl::string_view bytes) override {
      SEER_RETURN_IF_ERROR(store_.Check("append", key_));
      SEER_RETURN_IF_ERROR(store_.Take(key_, bytes.size()));
      return inner_->Append(bytes);
    }
    absl::Status Commit() override {
      SEER_RETURN_IF_ERROR(store_.Check("commit", key_));
      return inner_->Commit();
    }

   private:
    FaultyStore& store_;
    const std::string key_;
    std::unique_ptr<ObjectWriter> inner_;
  };

  absl::Status Check(absl::string_view operation, absl::string_view key) const {
    return faults_.fail ? faults_.fail(operation, key) : absl::OkStatus();
  }
  absl::Status Take(absl::string_view key, size_t bytes) {
    if (faults_.disk_bytes < 0) return absl::OkStatus();
    if ((used_bytes_ += static_cast<int64_t>(bytes)) <= faults_.disk_bytes) return absl::OkStatus();
    return Error(absl::StatusCode::kResourceExhausted, reason::kDiskFull,
                 absl::StrCat("cannot write ", key, ": No space left on device"));
  }
  absl::StatusOr<std::string> Corrupted(absl::string_view key,
                                        absl::StatusOr<std::string> bytes) const {
    if (bytes.ok() && faults_.corrupt) faults_.corrupt(key, *bytes);
    return bytes;
  }

  ObjectStore& inner_;
  const Faults faults_;
  std::atomic<int64_t> used_bytes_{0};
};

}  // namespace

std::unique_ptr<ObjectStore> MakeFaultyStore(ObjectStore& inner, Faults faults) {
  return std::make_unique<FaultyStore>(inner, std::move(faults));
}

}  // namespace seer
