// Starts the kernels of batch_norm_cuda.cuh: what batch_norm_kernels.h does, on pointers to a GPU's
// memory. Free of torch, so that nvcc need not read it. Thread-safe; returns before the kernels
// have run. Throws std::runtime_error if one cannot be started.
#pragma once

#include <cstdint>

namespace seer::engine::cuda {

enum class NumberType { kFloat, kBfloat16, kFloat16 };

// x as [rows, channels] without gaps, at least one of each.
struct NormRows {
  int64_t rows = 0, channels = 0;
  NumberType type = NumberType::kFloat;
  bool packed = false;     // channels and all pointers of the call are multiples of 16 bytes
  void* stream = nullptr;  // a cudaStream_t
};

// Floats that `partial` of the calls below has to hold.
int64_t PartialSize(const NormRows& rows);

void Moments(const NormRows& rows, const void* x, float* partial, float* mean, float* variance);
void PackMoments(int64_t channels, void* stream, const float* mean, const float* variance,
                 const double* count, double* packed);
void UnpackMoments(int64_t channels, void* stream, const double* packed, float* mean,
                   float* variance);
void ForwardCoefficients(int64_t channels, void* stream, const float* mean, const float* variance,
                         const float* weight, const float* bias, double epsilon, float* scale,
                         float* shift, double* invstd);
// `residual` may be null.
void ScaleShift(const NormRows& rows, const void* x, const float* scale, const float* shift,
                const void* residual, bool relu, void* y);
// `y` null: no relu, and `g` is not written.
void SumGradients(const NormRows& rows, const void* dy, const void* y, const void* x,
                  const float* mean, void* g, float* partial, double* sums);
void ParameterGradients(int64_t channels, void* stream, const double* sums, const double* invstd,
                        float* weight, float* bias);
void BackwardCoefficients(int64_t channels, void* stream, const double* sums, const double* count,
                          const float* weight, const double* invstd, float* a, float* b, float* c);
void CombineGradients(const NormRows& rows, const void* g, const void* x, const float* mean,
                      const float* a, const float* b, const float* c, void* out);

}  // namespace seer::engine::cuda
