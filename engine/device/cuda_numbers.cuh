// What kernels of the engine share: 16-bit floats as their bits, and runs of numbers that one
// instruction loads. Compiled by nvcc, and for tests by the host's compiler (tests/support/
// cuda_on_cpu.h stands in for the language then).
#pragma once

#include <cstdint>

#if defined(__CUDACC__)
#include <cuda_fp16.h>
#endif

namespace seer::engine::cuda {

struct Bfloat16 {
  uint16_t bits;
};
struct Float16 {
  uint16_t bits;
};

union FloatBits {
  uint32_t bits;
  float value;
};

__device__ inline float Load(float value) { return value; }
__device__ inline float Load(Bfloat16 value) {
  FloatBits f;
  f.bits = static_cast<uint32_t>(value.bits) << 16;
  return f.value;
}
__device__ inline float Load(Float16 value) {
#if defined(__CUDACC__)
  return __half2float(__ushort_as_half(value.bits));
#else
  return HalfToFloat(value.bits);
#endif
}

// To nearest, ties to even; NaN stays NaN.
__device__ inline void Store(float value, float& to) { to = value; }
__device__ inline void Store(float value, Bfloat16& to) {
  FloatBits f;
  f.value = value;
  const uint32_t rounded = (f.bits + 0x7fffu + ((f.bits >> 16) & 1u)) >> 16;
  to.bits = static_cast<uint16_t>(value == value ? rounded : 0x7fc0u);
}
__device__ inline void Store(float value, Float16& to) {
#if defined(__CUDACC__)
  to.bits = __half_as_ushort(__float2half_rn(value));
#else
  to.bits = FloatToHalf(value);
#endif
}

// kWidth numbers side by side, aligned to their size.
template <typename T, int kWidth>
struct alignas(sizeof(T) * kWidth) Pack {
  T at[kWidth];
};
template <typename T, int kWidth>
__device__ inline Pack<T, kWidth> LoadPack(const T* from) {
  return *reinterpret_cast<const Pack<T, kWidth>*>(from);
}
template <typename T, int kWidth>
__device__ inline void StorePack(const Pack<T, kWidth>& pack, T* to) {
  *reinterpret_cast<Pack<T, kWidth>*>(to) = pack;
}

// The numbers of T that one 16-byte instruction moves.
template <typename T>
inline constexpr int kPackWidth = 16 / static_cast<int>(sizeof(T));

}  // namespace seer::engine::cuda
