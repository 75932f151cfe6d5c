// Starts the kernels of squeeze_excitation_cuda.cuh, on pointers to a GPU's memory. Free of torch.
// Thread-safe; returns before the kernels have run. Throws std::runtime_error if one cannot be
// started. `rows`: images of `pixels` rows each.
#pragma once

#include "engine/nn/cuda_rows.h"

namespace seer::engine::cuda {

// sums [images, channels]: of x over an image's pixels, or of g · x if `g` is not null.
void SumPixels(const ChannelRows& rows, int64_t pixels, const void* x, const void* g, float* sums);
// out = x · gate + shift; gate, shift: [images, channels], `shift` may be null.
void ScalePixels(const ChannelRows& rows, int64_t pixels, const void* x, const float* gate,
                 const float* shift, void* out);

}  // namespace seer::engine::cuda
