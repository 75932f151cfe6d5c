// Starts the kernel of momentum_cuda.cuh. Free of torch, so that nvcc need not read it.
// Thread-safe; returns before the kernel has run. Throws std::runtime_error if it cannot be
// started.
#pragma once

#include <cstdint>

namespace seer::engine::cuda {

// A run of one parameter's elements, as they lie in memory.
struct MomentumPiece {
  float* weight;
  const float* gradient;
  float* momentum;
  int64_t count;
  float scale, decay, rate;  // u = scale · (g + decay · w); w moves by rate
};

inline constexpr int64_t kMostOfAPiece = 32768;  // elements; one block's work

// pieces: [count], in the GPU's memory.
void UpdateByMomentum(const MomentumPiece* pieces, int64_t count, float factor, bool nesterov,
                      void* stream);

}  // namespace seer::engine::cuda
