#include "coordinator/services/storage_watch.h"

#include <filesystem>

#include "common/base/log.h"

namespace seer::coordinator {

void StorageWatch::Look() {
  std::error_code error;
  const std::filesystem::space_info space = std::filesystem::space(folder_, error);
  if (error) {
    LogWarn("storage_space_unknown", {{"folder", folder_}, {"error", error.message()}});
    return;
  }
  runner_.Post(command::StorageSpace{static_cast<int64_t>(space.available),
                                     static_cast<int64_t>(space.capacity)});
}

}  // namespace seer::coordinator
