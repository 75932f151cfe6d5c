// Loops over tensors that lie in memory as rows of channels: [N, C] contiguous or [N, C, H, W]
// channels last. Compiled for the processor's vectors, spread over LibTorch's threads; how the rows
// are cut depends on the shape alone, so no number depends on the threads. For .cc files of
// kernels.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>

#include <ATen/ATen.h>

#include "engine/nn/torch_threads.h"

#define SEER_INLINE inline __attribute__((always_inline))

namespace seer::engine {

// True: x lies so, and is float, bfloat16 or half.
inline bool HasChannelRows(const at::Tensor& x) {
  if (x.scalar_type() != at::kFloat && x.scalar_type() != at::kBFloat16 &&
      x.scalar_type() != at::kHalf)
    return false;
  return x.dim() == 4 ? x.is_contiguous(at::MemoryFormat::ChannelsLast)
                      : x.dim() == 2 && x.is_contiguous();
}

// A chunk is summed in float: short enough for 1e-6, long enough that its sums cost nothing.
inline constexpr int64_t kChunkElements = 16384, kLongestChunk = 128;

struct Rows {
  explicit Rows(const at::Tensor& x)
      : channels(x.size(1)),
        count(x.numel() / std::max<int64_t>(channels, 1)),
        chunk(
            std::clamp<int64_t>(kChunkElements / std::max<int64_t>(channels, 1), 8, kLongestChunk)),
        chunks((count + chunk - 1) / chunk) {}
  const int64_t channels, count, chunk, chunks;
};

// bfloat16 as its bits: plain integers are what the compiler vectorises.
SEER_INLINE float Load(float value) { return value; }
SEER_INLINE float Load(uint16_t bits) {
  return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
}
SEER_INLINE float Load(at::Half value) { return static_cast<float>(value); }
SEER_INLINE void Store(float value, float& to) { to = value; }
SEER_INLINE void Store(float value, at::Half& to) { to = value; }
SEER_INLINE void Store(float value, uint16_t& to) {  // to nearest, ties to even
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  to = static_cast<uint16_t>(value == value ? rounded : 0x7fc0u);
}

template <typename T>
T* Data(const at::Tensor& tensor) {
  return tensor.defined() ? static_cast<T*>(tensor.data_ptr()) : nullptr;
}

#if defined(__x86_64__)
template <typename Body>
__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma"))) void RunAvx512(
    const Body& body, int64_t begin, int64_t end) {
  body(begin, end);
}
template <typename Body>
__attribute__((target("avx2,fma"))) void RunAvx2(const Body& body, int64_t begin, int64_t end) {
  body(begin, end);
}
#endif

// body(first chunk, end of chunks), compiled for what the processor has.
template <typename Body>
void RunOnThisProcessor(const Body& body, int64_t begin, int64_t end) {
#if defined(__x86_64__)
  static const bool avx512 = __builtin_cpu_supports("avx512bw") &&
                             __builtin_cpu_supports("avx512dq") &&
                             __builtin_cpu_supports("avx512vl");
  static const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (avx512) return RunAvx512(body, begin, end);
  if (avx2) return RunAvx2(body, begin, end);
#endif
  body(begin, end);
}

// body(first chunk, end of chunks) on LibTorch's threads.
template <typename Body>
void ForChunks(int64_t chunks, const Body& body) {
  OnTorchThreads(chunks,
                 [&](int64_t begin, int64_t end) { RunOnThisProcessor(body, begin, end); });
}

// call.operator()<float>(), <uint16_t> for bfloat16, or <at::Half>().
template <typename Call>
auto ForType(const at::Tensor& x, const Call& call) {
  if (x.scalar_type() == at::kFloat) return call.template operator()<float>();
  if (x.scalar_type() == at::kHalf) return call.template operator()<at::Half>();
  return call.template operator()<uint16_t>();
}

}  // namespace seer::engine
