// The inner loops of resample.cc, once in plain C++ and once for AVX2. Both compute the same
// integers: (sum of weight * pixel + 2^13) >> 14, clamped to [0, 255].
// Thread-safe. Internal to this folder.
#pragma once

#include <cstddef>
#include <cstdint>

namespace seer::dataservice {

inline constexpr int kWeightBits = 14;
inline constexpr int kWeightOne = 1 << kWeightBits;
inline constexpr size_t kRowPadding = 32;  // readable bytes after a row that filter_columns gets

struct ResampleKernels {
  // out[b] = sum over k < taps of weights[k] * in[k * stride + b],
  // b in [0, bytes). Reads no byte outside these.
  void (*filter_rows)(const uint8_t* in, size_t stride, int bytes, const int16_t* weights, int taps,
                      uint8_t* out);
  // For both rows j and i in [0, size):
  // out_j[i'] = sum over k < taps of weights[i * taps + k] * in_j[starts[i] + k],
  // a pixel of 3 bytes at a time; i' = size - 1 - i if flip, else i. taps is even.
  // in1, out1 may equal in0, out0.
  void (*filter_columns)(const uint8_t* in0, const uint8_t* in1, const int* starts,
                         const int16_t* weights, int taps, int size, bool flip, uint8_t* out0,
                         uint8_t* out1);
};

const ResampleKernels& PortableResampleKernels();
const ResampleKernels& BestResampleKernels();  // for the processor that runs this

}  // namespace seer::dataservice
