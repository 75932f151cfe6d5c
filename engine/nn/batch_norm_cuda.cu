#include "engine/nn/batch_norm_cuda.cuh"

#include "engine/device/cuda_launch.cuh"
#include "engine/nn/batch_norm_cuda.h"
#include "engine/nn/cuda_rows.cuh"

namespace seer::engine::cuda {
namespace {

struct Shape {
  Shape(const ChannelRows& rows, int width)
      : grid(GridFor(rows.rows, rows.channels, width)),
        blocks(grid.columns, grid.row_blocks),
        threads(grid.lanes, grid.row_lanes) {}
  const RowGrid grid;
  const dim3 blocks, threads;
};

dim3 OverChannels(int64_t channels, int64_t a_block) {
  return dim3(static_cast<unsigned>((channels + a_block - 1) / a_block));
}
const dim3 kFinishThreads(kMostLanes, kBlock / kMostLanes);

}  // namespace

int64_t PartialSize(const ChannelRows& rows) {
  int64_t size = 0;
  ForType(rows, [&]<typename T, int kWidth>() {
    size = 2 * rows.channels * GridFor(rows.rows, rows.channels, kWidth).row_blocks;
  });
  return size;
}

void Moments(const ChannelRows& rows, const void* x, float* partial, float* mean, float* variance) {
  ForType(rows, [&]<typename T, int kWidth>() {
    const Shape shape(rows, kWidth);
    Launch(SumDeviations<T, kWidth>, shape.blocks, shape.threads, rows.stream,
           static_cast<const T*>(x), rows.rows, rows.channels, partial);
    Launch(FinishMoments<T>, OverChannels(rows.channels, kMostLanes), kFinishThreads, rows.stream,
           static_cast<const float*>(partial), shape.grid.row_blocks, static_cast<const T*>(x),
           rows.rows, rows.channels, mean, variance);
  });
}

void PackMoments(int64_t channels, void* stream, const float* mean, const float* variance,
                 const double* count, double* packed) {
  Launch(PackMomentRows, OverChannels(channels, kBlock), dim3(kBlock), stream, mean, variance,
         count, channels, packed);
}

void UnpackMoments(int64_t channels, void* stream, const double* packed, float* mean,
                   float* variance) {
  Launch(UnpackMomentRows, OverChannels(channels, kBlock), dim3(kBlock), stream, packed, channels,
         mean, variance);
}

void ForwardCoefficients(int64_t channels, void* stream, const float* mean, const float* variance,
                         const float* weight, const float* bias, double epsilon, float* scale,
                         float* shift, double* invstd) {
  Launch(ForwardCoefficientRows, OverChannels(channels, kBlock), dim3(kBlock), stream, mean,
         variance, weight, bias, epsilon, channels, scale, shift, invstd);
}

void ScaleShift(const ChannelRows& rows, const void* x, const float* scale, const float* shift,
                const void* residual, bool relu, void* y) {
  ForType(rows, [&]<typename T, int kWidth>() {
    const auto kernel = residual != nullptr ? (relu ? ScaleShiftRows<T, kWidth, true, true>
                                                    : ScaleShiftRows<T, kWidth, true, false>)
                                            : (relu ? ScaleShiftRows<T, kWidth, false, true>
                                                    : ScaleShiftRows<T, kWidth, false, false>);
    const Shape shape(rows, kWidth);
    Launch(kernel, shape.blocks, shape.threads, rows.stream, static_cast<const T*>(x), scale, shift,
           static_cast<const T*>(residual), rows.rows, rows.channels, static_cast<T*>(y));
  });
}

void SumGradients(const ChannelRows& rows, const void* dy, const ReluMask& mask, const void* x,
                  const float* mean, void* g, float* partial, double* sums) {
  ForType(rows, [&]<typename T, int kWidth>() {
    const auto kernel = mask.y != nullptr       ? SumGradientRows<T, kWidth, Mask::kOutput>
                        : mask.scale != nullptr ? SumGradientRows<T, kWidth, Mask::kComputed>
                                                : SumGradientRows<T, kWidth, Mask::kNone>;
    const Shape shape(rows, kWidth);
    Launch(kernel, shape.blocks, shape.threads, rows.stream, static_cast<const T*>(dy),
           static_cast<const T*>(mask.y), mask.scale, mask.shift, static_cast<const T*>(x), mean,
           rows.rows, rows.channels, static_cast<T*>(g), partial);
    Launch(FinishGradientSums, OverChannels(rows.channels, kMostLanes), kFinishThreads, rows.stream,
           static_cast<const float*>(partial), shape.grid.row_blocks, rows.channels, sums);
  });
}

void ParameterGradients(int64_t channels, void* stream, const double* sums, const double* invstd,
                        float* weight, float* bias) {
  Launch(ParameterGradientRows, OverChannels(channels, kBlock), dim3(kBlock), stream, sums, invstd,
         channels, weight, bias);
}

void BackwardCoefficients(int64_t channels, void* stream, const double* sums, const double* count,
                          const float* weight, const double* invstd, float* a, float* b, float* c) {
  Launch(BackwardCoefficientRows, OverChannels(channels, kBlock), dim3(kBlock), stream, sums, count,
         weight, invstd, channels, a, b, c);
}

void CombineGradients(const ChannelRows& rows, const void* g, const ReluMask& mask, const void* x,
                      const float* mean, const float* a, const float* b, const float* c,
                      void* out) {
  ForType(rows, [&]<typename T, int kWidth>() {
    const auto kernel =
        mask.scale != nullptr ? CombineRows<T, kWidth, true> : CombineRows<T, kWidth, false>;
    const Shape shape(rows, kWidth);
    Launch(kernel, shape.blocks, shape.threads, rows.stream, static_cast<const T*>(g),
           static_cast<const T*>(x), Combination{mean, a, b, c, mask.scale, mask.shift}, rows.rows,
           rows.channels, static_cast<T*>(out));
  });
}

}  // namespace seer::engine::cuda
