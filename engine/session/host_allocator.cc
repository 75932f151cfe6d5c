#include "engine/session/host_allocator.h"

#include <climits>
#include <cstdint>
#include <cstdlib>
#include <new>
#if defined(__GLIBC__)
#include <malloc.h>
#endif

#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>

namespace seer::engine {
namespace {

constexpr size_t kAlignment = 64;  // bytes: a cache line, and AVX-512's loads

// Tensors' memory in blocks of plain malloc, aligned by hand. Asked for alignment, glibc looks for
// a block that is larger by the alignment, so that one just freed is never good for a tensor of the
// same size: its heap grew to twice what was in use (docs/performance.md).
class TensorHeap final : public c10::Allocator {
 public:
  c10::DataPtr allocate(size_t bytes) override {
    void* data = bytes == 0 ? nullptr : Allocate(bytes);
    return {data, data, &Release, c10::Device(c10::DeviceType::CPU)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &Release; }
  void copy_data(void* to, const void* from, size_t bytes) const override {
    default_copy_data(to, from, bytes);
  }

 private:
  // The block's own address stands before the tensor's.
  static void* Allocate(size_t bytes) {
    if (bytes > SIZE_MAX - 2 * kAlignment) throw std::bad_alloc();
    void* const block = std::malloc(bytes + kAlignment + sizeof(void*));
    if (block == nullptr) throw std::bad_alloc();
    const auto first = reinterpret_cast<uintptr_t>(block) + sizeof(void*);
    void* const data = reinterpret_cast<void*>((first + kAlignment - 1) / kAlignment * kAlignment);
    static_cast<void**>(data)[-1] = block;
    return data;
  }
  static void Release(void* data) {
    if (data != nullptr) std::free(static_cast<void**>(data)[-1]);
  }
};

}  // namespace

void KeepFreedMemory() {
#if defined(__GLIBC__)
  mallopt(M_MMAP_MAX, 0);
  mallopt(M_TRIM_THRESHOLD, INT_MAX);
  mallopt(M_ARENA_MAX, 1);  // the arenas of other threads are of 64 MiB pieces that are unmapped
  static TensorHeap heap;   // torch keeps it for the process's life
  c10::SetCPUAllocator(&heap);
#endif
}

}  // namespace seer::engine
