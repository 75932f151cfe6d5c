// The kernels behind squeeze_excitation_cuda.h: each number read and written once. A block is of
// one image, kBlock threads as lanes of channels times rows of pixels. Sums are float, in an order
// that the shape fixes.
#pragma once

#include "engine/nn/batch_norm_cuda.cuh"

namespace seer::engine::cuda {

inline constexpr int64_t kMostImageBlocks = 65535;

struct ImageGrid {
  int lanes = 1, row_lanes = 1;  // of a block: packs of channels, pixels
  int columns = 1, images = 1;   // blocks
};

inline ImageGrid ImageGridFor(int64_t images, int64_t channels, int pack_width) {
  ImageGrid grid;
  const int64_t packs = (channels + pack_width - 1) / pack_width;
  while (grid.lanes < packs && grid.lanes < kMostLanes) grid.lanes *= 2;
  grid.row_lanes = kBlock / grid.lanes;
  grid.columns = static_cast<int>((packs + grid.lanes - 1) / grid.lanes);
  grid.images = static_cast<int>(images < kMostImageBlocks ? images : kMostImageBlocks);
  return grid;
}

namespace {

template <typename T, int kWidth, bool kProduct>
__global__ void __launch_bounds__(kBlock)
    SumImagePixels(const T* x, const T* g, int64_t images, int64_t pixels, int64_t channels,
                   float* sums) {
  const int64_t channel = (static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x) * kWidth;
  for (int64_t image = blockIdx.y; image < images; image += gridDim.y) {
    float own[kWidth] = {};
    if (channel < channels) {
      for (int64_t pixel = threadIdx.y; pixel < pixels; pixel += blockDim.y) {
        const int64_t at = (image * pixels + pixel) * channels + channel;
        const Pack<T, kWidth> v = LoadPack<T, kWidth>(x + at);
        Pack<T, kWidth> d = {};
        if constexpr (kProduct) d = LoadPack<T, kWidth>(g + at);
        for (int i = 0; i < kWidth; ++i) {
          if constexpr (kProduct)
            own[i] += Load(v.at[i]) * Load(d.at[i]);
          else
            own[i] += Load(v.at[i]);
        }
      }
    }
    SumOverRows(own);
    if (channel < channels && threadIdx.y == 0) {
      for (int i = 0; i < kWidth; ++i) sums[image * channels + channel + i] = own[i];
    }
    __syncthreads();  // the next image's sums use the same shared memory
  }
}

template <typename T, int kWidth, bool kShift>
__global__ void __launch_bounds__(kBlock)
    ScaleImagePixels(const T* x, const float* gate, const float* shift, int64_t images,
                     int64_t pixels, int64_t channels, T* out) {
  const int64_t channel = (static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x) * kWidth;
  if (channel >= channels) return;
  for (int64_t image = blockIdx.y; image < images; image += gridDim.y) {
    float a[kWidth], b[kWidth] = {};
    for (int i = 0; i < kWidth; ++i) {
      a[i] = gate[image * channels + channel + i];
      if constexpr (kShift) b[i] = shift[image * channels + channel + i];
    }
    for (int64_t pixel = threadIdx.y; pixel < pixels; pixel += blockDim.y) {
      const int64_t at = (image * pixels + pixel) * channels + channel;
      const Pack<T, kWidth> v = LoadPack<T, kWidth>(x + at);
      Pack<T, kWidth> result;
      for (int i = 0; i < kWidth; ++i) Store(Load(v.at[i]) * a[i] + b[i], result.at[i]);
      StorePack(result, out + at);
    }
  }
}

}  // namespace
}  // namespace seer::engine::cuda
