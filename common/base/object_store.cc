#include "common/base/object_store.h"

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

}  // namespace seer
