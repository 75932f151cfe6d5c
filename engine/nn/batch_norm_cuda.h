// Starts the kernels of batch_norm_cuda.cuh: what batch_norm_kernels.h does, on pointers to a GPU's
// memory. Free of torch, so that nvcc need not read it. Thread-safe; returns before the kernels
// have run. Throws std::runtime_error if one cannot be started.
#pragma once

#include <cstdint>

#include "engine/nn/cuda_rows.h"

namespace seer::engine::cuda {

// Floats that `partial` of the calls below has to hold.
int64_t PartialSize(const ChannelRows& rows);

void Moments(const ChannelRows& rows, const void* x, float* partial, float* mean, float* variance);
void PackMoments(int64_t channels, void* stream, const float* mean, const float* variance,
                 const double* count, double* packed);
void UnpackMoments(int64_t channels, void* stream, const double* packed, float* mean,
                   float* variance);
void ForwardCoefficients(int64_t channels, void* stream, const float* mean, const float* variance,
                         const float* weight, const float* bias, double epsilon, float* scale,
                         float* shift, double* invstd);
// `residual` may be null.
void ScaleShift(const ChannelRows& rows, const void* x, const float* scale, const float* shift,
                const void* residual, bool relu, void* y);
// How the gradient passes a relu, as NormRelu says it: all null if none followed.
struct ReluMask {
  const void* y = nullptr;
  const float *scale = nullptr, *shift = nullptr;
};
// `g` is written if the mask has an output.
void SumGradients(const ChannelRows& rows, const void* dy, const ReluMask& mask, const void* x,
                  const float* mean, void* g, float* partial, double* sums);
void ParameterGradients(int64_t channels, void* stream, const double* sums, const double* invstd,
                        float* weight, float* bias);
void BackwardCoefficients(int64_t channels, void* stream, const double* sums, const double* count,
                          const float* weight, const double* invstd, float* a, float* b, float* c);
void CombineGradients(const ChannelRows& rows, const void* g, const ReluMask& mask, const void* x,
                      const float* mean, const float* a, const float* b, const float* c, void* out);

}  // namespace seer::engine::cuda
