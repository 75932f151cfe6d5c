// What kernels for Hopper GPUs (compute capability 9.0) need of the instruction set: barriers that
// count bytes, copies of tensor boxes into shared memory, and the descriptors and fences of
// matrix products whose operands lie there. Names and layouts are those of the PTX ISA, sections
// "mbarrier", "cp.async.bulk.tensor" and "wgmma". For *.cu files of the target sm_90a alone.
#pragma once

#include <cuda.h>

#include <cstdint>

namespace seer::engine::cuda {
namespace {

__device__ inline uint32_t SharedAddress(const void* pointer) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(pointer));
}

// A barrier in shared memory; phases alternate between parity 0 and 1. One that is new has its
// phase 1 behind it.
__device__ inline void InitBarrier(uint64_t* barrier, int arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(SharedAddress(barrier)),
               "r"(arrivals));
}
// Makes initialised barriers known to the copy engine.
__device__ inline void FenceBarriers() {
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}
// Arrives; the phase ends once `bytes` have been copied too.
__device__ inline void ArriveExpecting(uint64_t* barrier, uint32_t bytes) {
  asm volatile(
      "mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(SharedAddress(barrier)),
      "r"(bytes)
      : "memory");
}
__device__ inline void Arrive(uint64_t* barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(SharedAddress(barrier)) : "memory");
}
__device__ inline void AwaitPhase(uint64_t* barrier, uint32_t parity) {
  uint32_t done = 0;
  while (done == 0) {
    asm volatile(
        "{\n.reg .pred p;\n"
        "mbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\n"
        "selp.u32 %0, 1, 0, p;\n}\n"
        : "=r"(done)
        : "r"(SharedAddress(barrier)), "r"(parity)
        : "memory");
  }
}

// Boxes of tensors; `barrier` counts their bytes. Coordinates: the innermost dimension first.
// Places outside of the tensor read as 0.
__device__ inline void CopyBox2(const CUtensorMap& map, uint64_t* barrier, uint32_t to, int c0,
                                int c1) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes "
      "[%0], [%1, {%3, %4}], [%2];" ::"r"(to),
      "l"(&map), "r"(SharedAddress(barrier)), "r"(c0), "r"(c1)
      : "memory");
}
__device__ inline void CopyBox3(const CUtensorMap& map, uint64_t* barrier, uint32_t to, int c0,
                                int c1, int c2) {
  asm volatile(
      "cp.async.bulk.tensor.3d.shared::cluster.global.mbarrier::complete_tx::bytes "
      "[%0], [%1, {%3, %4, %5}], [%2];" ::"r"(to),
      "l"(&map), "r"(SharedAddress(barrier)), "r"(c0), "r"(c1), "r"(c2)
      : "memory");
}
__device__ inline void CopyBox4(const CUtensorMap& map, uint64_t* barrier, uint32_t to, int c0,
                                int c1, int c2, int c3) {
  asm volatile(
      "cp.async.bulk.tensor.4d.shared::cluster.global.mbarrier::complete_tx::bytes "
      "[%0], [%1, {%3, %4, %5, %6}], [%2];" ::"r"(to),
      "l"(&map), "r"(SharedAddress(barrier)), "r"(c0), "r"(c1), "r"(c2), "r"(c3)
      : "memory");
}
// Channels from c of as many pixels as the map says, along the rows of the images; (w, h) is the
// corner of the first pixel's window, and (right, down) where in the window to read.
__device__ inline void CopyWindow(const CUtensorMap& map, uint64_t* barrier, uint32_t to, int c,
                                  int w, int h, int n, uint16_t right, uint16_t down) {
  asm volatile(
      "cp.async.bulk.tensor.4d.shared::cluster.global.im2col.mbarrier::complete_tx::bytes "
      "[%0], [%1, {%3, %4, %5, %6}], [%2], {%7, %8};" ::"r"(to),
      "l"(&map), "r"(SharedAddress(barrier)), "r"(c), "r"(w), "r"(h), "r"(n), "h"(right), "h"(down)
      : "memory");
}
// How a box's rows lie in shared memory: so many bytes each, 16-byte pieces exchanged by the row's
// number.
enum class Swizzle : uint64_t { k128 = 1, k64 = 2, k32 = 3 };

// An operand's descriptor without its address. `leading`, `stride`: in bytes.
__device__ constexpr uint64_t Descriptor(Swizzle swizzle, uint32_t leading, uint32_t stride) {
  return static_cast<uint64_t>(swizzle) << 62 | static_cast<uint64_t>(stride >> 4) << 32 |
         static_cast<uint64_t>(leading >> 4) << 16;
}
__device__ inline uint64_t At(uint64_t descriptor, uint32_t address) {
  return descriptor | (address & 0x3ffff) >> 4;
}

__device__ inline void ProductsFence() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
__device__ inline void CommitProducts() {
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}
template <int kInFlight>
__device__ inline void AwaitProducts() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kInFlight) : "memory");
}

template <int kRegisters>
__device__ inline void TakeRegisters() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kRegisters));
}
template <int kRegisters>
__device__ inline void GiveRegisters() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kRegisters));
}

}  // namespace
}  // namespace seer::engine::cuda
