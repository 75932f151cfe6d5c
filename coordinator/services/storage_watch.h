// Tells the core how much of the checkpoints' file system is free. Owns one thread, which looks
// again and again; object stores in the cloud have no end, and are not looked at.
#pragma once

#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/base/thread.h"
#include "coordinator/services/core_runner.h"

namespace seer::coordinator {

class StorageWatch {
 public:
  // The runner must outlive this, and its loop run until it is gone. `folder`: any on that file
  // system. `period`: between two looks; the first is taken at once.
  StorageWatch(CoreRunner& runner, std::string folder, absl::Duration period)
      : runner_(runner),
        folder_(std::move(folder)),
        period_(period),
        thread_("storage-watch", [this] { Run(); }) {}
  ~StorageWatch();

 private:
  void Run() ABSL_LOCKS_EXCLUDED(mu_);
  void Look();

  CoreRunner& runner_;
  const std::string folder_;
  const absl::Duration period_;
  absl::Mutex mu_;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  Thread thread_;
};

}  // namespace seer::coordinator
