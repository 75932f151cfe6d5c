#include "dataservice/decode/resample_kernels.h"

#include <algorithm>
#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace seer::dataservice {
namespace {

constexpr int kHalf = kWeightOne / 2;

uint8_t Round(int sum) { return static_cast<uint8_t>(std::clamp(sum >> kWeightBits, 0, 255)); }

void FilterRows(const uint8_t* in, size_t stride, int bytes, const int16_t* weights, int taps,
                uint8_t* out) {
  for (int b = 0; b < bytes; ++b) {
    int sum = kHalf;
    for (int k = 0; k < taps; ++k) sum += weights[k] * in[k * stride + b];
    out[b] = Round(sum);
  }
}

void FilterColumns(const uint8_t* in0, const uint8_t* in1, const int* starts,
                   const int16_t* weights, int taps, int size, bool flip, uint8_t* out0,
                   uint8_t* out1) {
  const uint8_t* inputs[2] = {in0, in1};
  uint8_t* outputs[2] = {out0, out1};
  for (int j = 0; j < (in0 == in1 ? 1 : 2); ++j) {
    for (int i = 0; i < size; ++i) {
      for (int c = 0; c < 3; ++c) {
        int sum = kHalf;
        for (int k = 0; k < taps; ++k) {
          sum += weights[static_cast<size_t>(i) * taps + k] * inputs[j][(starts[i] + k) * 3 + c];
        }
        outputs[j][(flip ? size - 1 - i : i) * 3 + c] = Round(sum);
      }
    }
  }
}

#if defined(__x86_64__)

// The weights w[0] and w[1] of a pair of taps in every 32-bit lane.
__attribute__((target("avx2"))) inline __m256i PairOfWeights(const int16_t* w) {
  int pair;
  std::memcpy(&pair, w, sizeof(pair));
  return _mm256_set1_epi32(pair);
}

// 32 bytes of filter_rows at `in` and `out`.
__attribute__((target("avx2"), always_inline)) inline void FilterRows32(const uint8_t* in,
                                                                        size_t stride,
                                                                        const int16_t* weights,
                                                                        int taps, uint8_t* out) {
  const __m256i zero = _mm256_setzero_si256();
  const __m256i half = _mm256_set1_epi32(kHalf);
  __m256i s0 = half, s1 = half, s2 = half, s3 = half;
  const auto add = [&](__m256i p, __m256i q, __m256i w) __attribute__((target("avx2"))) {
    const __m256i low = _mm256_unpacklo_epi8(p, q);  // p0 q0 p1 q1 ... in each half
    const __m256i high = _mm256_unpackhi_epi8(p, q);
    s0 = _mm256_add_epi32(s0, _mm256_madd_epi16(_mm256_unpacklo_epi8(low, zero), w));
    s1 = _mm256_add_epi32(s1, _mm256_madd_epi16(_mm256_unpackhi_epi8(low, zero), w));
    s2 = _mm256_add_epi32(s2, _mm256_madd_epi16(_mm256_unpacklo_epi8(high, zero), w));
    s3 = _mm256_add_epi32(s3, _mm256_madd_epi16(_mm256_unpackhi_epi8(high, zero), w));
  };
  int k = 0;
  for (; k + 2 <= taps; k += 2) {
    const uint8_t* row = in + k * stride;
    add(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(row)),
        _mm256_loadu_si256(reinterpret_cast<const __m256i*>(row + stride)),
        PairOfWeights(weights + k));
  }
  if (k < taps) {
    add(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(in + k * stride)), zero,
        _mm256_set1_epi32(static_cast<uint16_t>(weights[k])));
  }
  const __m256i low =
      _mm256_packs_epi32(_mm256_srai_epi32(s0, kWeightBits), _mm256_srai_epi32(s1, kWeightBits));
  const __m256i high =
      _mm256_packs_epi32(_mm256_srai_epi32(s2, kWeightBits), _mm256_srai_epi32(s3, kWeightBits));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), _mm256_packus_epi16(low, high));
}

// kTaps: `taps` known when this is compiled, so that its loop unrolls; 0: not known.
template <int kTaps>
__attribute__((target("avx2"))) void FilterRowsOf(const uint8_t* in, size_t stride, int bytes,
                                                  const int16_t* weights, int any_taps,
                                                  uint8_t* out) {
  const int taps = kTaps > 0 ? kTaps : any_taps;
  int b = 0;
  for (; b + 32 <= bytes; b += 32) FilterRows32(in + b, stride, weights, taps, out + b);
  // The rest overlaps what is done: the same bytes once more are cheaper than single ones.
  if (b < bytes) FilterRows32(in + bytes - 32, stride, weights, taps, out + bytes - 32);
}

__attribute__((target("avx2"))) void FilterRowsAvx2(const uint8_t* in, size_t stride, int bytes,
                                                    const int16_t* weights, int taps,
                                                    uint8_t* out) {
  const auto filter = bytes < 32  ? FilterRows
                      : taps == 2 ? FilterRowsOf<2>
                      : taps == 4 ? FilterRowsOf<4>
                      : taps == 6 ? FilterRowsOf<6>
                                  : FilterRowsOf<0>;
  filter(in, stride, bytes, weights, taps, out);
}

__attribute__((target("avx2"))) inline __m256i LoadBoth(const uint8_t* a, const uint8_t* b) {
  return _mm256_inserti128_si256(
      _mm256_castsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(a))),
      _mm_loadu_si128(reinterpret_cast<const __m128i*>(b)), 1);
}

// One output pixel of both rows before the shift, [r, g, b, unused] in 32 bits: the low half of the
// vector works on row 0, the high half on row 1. A load of 16 bytes holds 5 pixels, of which 4 are
// used: two pairs of taps.
__attribute__((target("avx2"), always_inline)) inline __m256i SumColumns(const uint8_t* a,
                                                                         const uint8_t* b,
                                                                         const int16_t* w,
                                                                         int taps) {
  // r0 r1 g0 g1 b0 b1 as 16-bit numbers, of pixels 0 and 1 and of pixels 2 and 3.
  const __m256i pick01 = _mm256_broadcastsi128_si256(
      _mm_setr_epi8(0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1));
  const __m256i pick23 = _mm256_broadcastsi128_si256(
      _mm_setr_epi8(6, -1, 9, -1, 7, -1, 10, -1, 8, -1, 11, -1, -1, -1, -1, -1));
  __m256i sum = _mm256_set1_epi32(kHalf);
  int k = 0;
  for (; k + 4 <= taps; k += 4) {
    const __m256i pixels = LoadBoth(a + k * 3, b + k * 3);
    const __m256i p = _mm256_madd_epi16(_mm256_shuffle_epi8(pixels, pick01), PairOfWeights(w + k));
    const __m256i q =
        _mm256_madd_epi16(_mm256_shuffle_epi8(pixels, pick23), PairOfWeights(w + k + 2));
    sum = _mm256_add_epi32(sum, _mm256_add_epi32(p, q));
  }
  if (k < taps) {
    const __m256i pixels = LoadBoth(a + k * 3, b + k * 3);
    sum = _mm256_add_epi32(
        sum, _mm256_madd_epi16(_mm256_shuffle_epi8(pixels, pick01), PairOfWeights(w + k)));
  }
  return sum;
}

// Four pixels at a time, from the left of the output whether it is mirrored or not. kTaps as above.
template <int kTaps>
__attribute__((target("avx2"))) void FilterColumnsOf(const uint8_t* in0, const uint8_t* in1,
                                                     const int* starts, const int16_t* weights,
                                                     int any_taps, int size, bool flip,
                                                     uint8_t* out0, uint8_t* out1) {
  const int taps = kTaps > 0 ? kTaps : any_taps;
  const __m256i pack = _mm256_broadcastsi128_si256(
      _mm_setr_epi8(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1));
  for (int place = 0; place < size; place += 4) {
    __m256i sums[4];
    for (int j = 0; j < 4; ++j) {
      const int at = std::min(place + j, size - 1);  // a surplus pixel is made and dropped
      const int i = flip ? size - 1 - at : at;
      sums[j] = _mm256_srai_epi32(SumColumns(in0 + starts[i] * 3, in1 + starts[i] * 3,
                                             weights + static_cast<size_t>(i) * taps, taps),
                                  kWeightBits);
    }
    const __m256i bytes =
        _mm256_shuffle_epi8(_mm256_packus_epi16(_mm256_packs_epi32(sums[0], sums[1]),
                                                _mm256_packs_epi32(sums[2], sums[3])),
                            pack);
    alignas(32) uint8_t pixels[32];
    _mm256_store_si256(reinterpret_cast<__m256i*>(pixels), bytes);
    uint8_t* to0 = out0 + static_cast<size_t>(place) * 3;
    uint8_t* to1 = out1 + static_cast<size_t>(place) * 3;
    if (place + 4 <= size) {
      std::memcpy(to0, pixels, 12);
      std::memcpy(to1, pixels + 16, 12);
    } else {
      std::memcpy(to0, pixels, static_cast<size_t>(size - place) * 3);
      std::memcpy(to1, pixels + 16, static_cast<size_t>(size - place) * 3);
    }
  }
}

__attribute__((target("avx2"))) void FilterColumnsAvx2(const uint8_t* in0, const uint8_t* in1,
                                                       const int* starts, const int16_t* weights,
                                                       int taps, int size, bool flip, uint8_t* out0,
                                                       uint8_t* out1) {
  const auto filter = taps == 2   ? FilterColumnsOf<2>
                      : taps == 4 ? FilterColumnsOf<4>
                      : taps == 6 ? FilterColumnsOf<6>
                                  : FilterColumnsOf<0>;
  filter(in0, in1, starts, weights, taps, size, flip, out0, out1);
}

#endif

}  // namespace

const ResampleKernels& PortableResampleKernels() {
  static constexpr ResampleKernels kKernels{FilterRows, FilterColumns};
  return kKernels;
}

const ResampleKernels& BestResampleKernels() {
#if defined(__x86_64__)
  static constexpr ResampleKernels kAvx2{FilterRowsAvx2, FilterColumnsAvx2};
  static const bool has_avx2 = __builtin_cpu_supports("avx2");
  if (has_avx2) return kAvx2;
#endif
  return PortableResampleKernels();
}

}  // namespace seer::dataservice
