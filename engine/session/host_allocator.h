// How the process's heap treats the tensors of a training step. Thread-safe.
#pragma once

namespace seer::engine {

// Freed memory stays with the process. A step allocates and frees the same activations again and
// again; glibc would map and unmap each large one, and clearing its pages and the faults took a
// fifth of a step on CPU (docs/performance.md). The price: the resident size stays at its peak. And
// tensors get blocks that are good again for tensors of the same size.
// For the whole process; to be called before it has threads that allocate. Calls after the first
// change nothing. Without effect on other C libraries and under the sanitizers.
void KeepFreedMemory();

}  // namespace seer::engine
