// Starts the kernels of photometry_cuda.cuh: ApplyPhotometry on pointers to a GPU's memory. Free of
// torch, so that nvcc need not read it. Thread-safe; returns before the kernels have run. Throws
// std::runtime_error if one cannot be started.
#pragma once

#include <cstdint>

namespace seer::engine::cuda {

inline constexpr int kMostTaps = 129;  // of a blur: crops of up to 2,389 pixels

// CropPhotometry as a kernel reads it; sigma in the crop's own pixels.
struct CropDraw {
  float strength[4];
  float sigma;
  unsigned char order[4];
  unsigned char jitter, grey, blur, solarize;
};

struct ChannelScale {
  float mean[3], std[3];
};

struct PhotometryBatch {
  int64_t crops = 0;
  int size = 0;  // pixels, square
  ChannelScale scale;
  int radius = 0;          // of blurs, at most kMostTaps / 2
  int64_t blurred = 0;     // crops that are blurred
  void* stream = nullptr;  // a cudaStream_t
};

// Floats that `sums` has to hold.
int64_t GreySumsSize(const PhotometryBatch& batch);

// in: [crops, size, size, 3]; out: the same in float; draws: [crops]; blurred: [batch.blurred],
// the crops that draw a blur, in order; spare: as many floats as those crops have.
void Paint(const PhotometryBatch& batch, const unsigned char* in, const CropDraw* draws,
           const int64_t* blurred, float* sums, float* spare, float* out);

}  // namespace seer::engine::cuda
