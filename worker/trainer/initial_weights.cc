#include "worker/trainer/initial_weights.h"

#include "common/objectstore/open_store.h"

namespace seer::worker {

absl::StatusOr<WeightsFile> OpenWeightsFile(const std::string& uri) {
  const size_t slash = uri.rfind('/');
  WeightsFile file;
  file.key = uri.substr(slash == std::string::npos ? 0 : slash + 1);
  SEER_ASSIGN_OR_RETURN(file.store,
                        OpenStore(uri.substr(0, uri.size() - file.key.size()), StoreUse::kRead));
  return file;
}

}  // namespace seer::worker
