// How malloc treats a server that runs for weeks. glibc's alone: elsewhere nothing here does
// anything.
#pragma once

#include "absl/time/time.h"
#include "common/base/periodic_thread.h"

namespace seer {

// Before any thread is started: few arenas, and blocks from a megabyte on are the kernel's as soon
// as they are freed. The defaults give each of many threads an arena that keeps the most it ever
// held, and keep ever larger blocks once one was freed.
void KeepHeapSmall();

// Gives the kernel all pages of malloc's that hold nothing, again and again: free() does so at an
// arena's end alone, which one small block may hold for ever. So a process is as large as what it
// uses, not as the most that it ever used. Owns a thread, which the destructor joins.
class HeapReleaser {
 public:
  // Each time takes a millisecond or so, and what is needed again comes back page by page.
  static constexpr absl::Duration kInterval = absl::Seconds(5);
  explicit HeapReleaser(absl::Duration interval = kInterval);

 private:
  PeriodicThread thread_;
};

}  // namespace seer
