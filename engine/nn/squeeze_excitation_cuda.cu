#include "engine/nn/squeeze_excitation_cuda.cuh"

#include "engine/device/cuda_launch.cuh"
#include "engine/nn/cuda_rows.cuh"
#include "engine/nn/squeeze_excitation_cuda.h"

namespace seer::engine::cuda {

void SumPixels(const ChannelRows& rows, int64_t pixels, const void* x, const void* g, float* sums) {
  ForType(rows, [&]<typename T, int kWidth>() {
    const int64_t images = rows.rows / pixels;
    const ImageGrid grid = ImageGridFor(images, rows.channels, kWidth);
    Launch(g != nullptr ? SumImagePixels<T, kWidth, true> : SumImagePixels<T, kWidth, false>,
           dim3(grid.columns, grid.images), dim3(grid.lanes, grid.row_lanes), rows.stream,
           static_cast<const T*>(x), static_cast<const T*>(g), images, pixels, rows.channels, sums);
  });
}

void ScalePixels(const ChannelRows& rows, int64_t pixels, const void* x, const float* gate,
                 const float* shift, void* out) {
  ForType(rows, [&]<typename T, int kWidth>() {
    const int64_t images = rows.rows / pixels;
    const ImageGrid grid = ImageGridFor(images, rows.channels, kWidth);
    Launch(
        shift != nullptr ? ScaleImagePixels<T, kWidth, true> : ScaleImagePixels<T, kWidth, false>,
        dim3(grid.columns, grid.images), dim3(grid.lanes, grid.row_lanes), rows.stream,
        static_cast<const T*>(x), gate, shift, images, pixels, rows.channels, static_cast<T*>(out));
  });
}

}  // namespace seer::engine::cuda
