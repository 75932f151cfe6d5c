#include "engine/session/host_allocator.h"

#include <climits>
#include <cstdlib>
#if defined(__GLIBC__)
#include <malloc.h>
#endif

namespace seer::engine {

void KeepFreedMemory() {
#if defined(__GLIBC__)
  mallopt(M_MMAP_MAX, 0);
  mallopt(M_TRIM_THRESHOLD, INT_MAX);
  mallopt(M_ARENA_MAX, 1);  // the arenas of other threads are of 64 MiB pieces that are unmapped
#endif
}

}  // namespace seer::engine
