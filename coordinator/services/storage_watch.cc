#include "coordinator/services/storage_watch.h"

#include <filesystem>

#include "common/base/log.h"

namespace seer::coordinator {

StorageWatch::~StorageWatch() {
  {
    absl::MutexLock lock(&mu_);
    stopping_ = true;
  }
  thread_.Join();
}

void StorageWatch::Run() {
  while (true) {
    Look();
    absl::MutexLock lock(&mu_);
    if (mu_.AwaitWithTimeout(absl::Condition(&stopping_), period_)) return;
  }
}

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
