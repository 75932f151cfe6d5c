// Tells the core how much of the checkpoints' file system is free. Owns one thread, which looks
// again and again; object stores in the cloud have no end, and are not looked at.
#pragma once

#include <string>

#include "absl/time/time.h"
#include "common/base/periodic_thread.h"
#include "coordinator/services/core_runner.h"

namespace seer::coordinator {

class StorageWatch {
 public:
  // The runner must outlive this, and its loop run until it is gone. `folder`: any on that file
  // system. `period`: between two looks; the first is taken at once.
  StorageWatch(CoreRunner& runner, std::string folder, absl::Duration period)
      : runner_(runner),
        folder_(std::move(folder)),
        thread_("storage-watch", absl::ZeroDuration(), period, [this] { Look(); }) {}

 private:
  void Look();

  CoreRunner& runner_;
  const std::string folder_;
  PeriodicThread thread_;
};

}  // namespace seer::coordinator
