#include "common/base/heap.h"

#include <cstdlib>  // says whether this is glibc

#if defined(__GLIBC__)
#include <malloc.h>
#endif

namespace seer {

void KeepHeapSmall() {
#if defined(__GLIBC__)
  mallopt(M_ARENA_MAX, 4);
  mallopt(M_MMAP_THRESHOLD, 1 << 20);  // also ends its growth
#endif
}

HeapReleaser::HeapReleaser(absl::Duration interval)
    : thread_("heap", interval, interval, [] {
#if defined(__GLIBC__)
        malloc_trim(0);
#endif
      }) {
}

}  // namespace seer
