// How malloc treats a server that runs for weeks.
#pragma once

namespace seer {

// Before any thread is started: few arenas, and blocks from a megabyte on are the kernel's as soon as
// they are freed. glibc's defaults give each of many threads an arena that keeps the most it ever
// held, and keep ever larger blocks once one was freed. Elsewhere it does nothing.
void KeepHeapSmall();

}  // namespace seer
