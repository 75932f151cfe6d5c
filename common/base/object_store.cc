#include "common/base/object_store.h"

#include <algorithm>
#include <utility>

#include "common/base/status_macros.h"

namespace seer {
namespace {

class HeldView final : public ObjectView {
 public:
  explicit HeldView(std::string bytes) : bytes_(std::move(bytes)) {}
  absl::string_view bytes() const override { return bytes_; }

 private:
  const std::string bytes_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<ObjectView>> ObjectStore::View(absl::string_view key) {
  SEER_ASSIGN_OR_RETURN(std::string bytes, Get(key));
  return std::make_unique<HeldView>(std::move(bytes));
}

absl::StatusOr<std::vector<std::string>> ObjectStore::TopFolders() {
  SEER_ASSIGN_OR_RETURN(const auto objects, List(""));
  std::vector<std::string> folders;
  for (const ObjectInfo& object : objects) {
    const size_t slash = object.key.find('/');
    if (slash != std::string::npos) folders.push_back(object.key.substr(0, slash));
  }
  std::sort(folders.begin(), folders.end());
  folders.erase(std::unique(folders.begin(), folders.end()), folders.end());
  return folders;
}

}  // namespace seer
