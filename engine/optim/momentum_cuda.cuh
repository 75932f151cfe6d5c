// The kernel behind momentum_cuda.h: all parameters at once, each number read and written once.
#pragma once

#include "engine/device/cuda_numbers.cuh"
#include "engine/optim/momentum_cuda.h"

namespace seer::engine::cuda {

inline constexpr int kMomentumBlock = 256;  // threads

// Each includer's own: nvcc and the host's compiler make different code of them.
namespace {

__device__ bool Aligned(const void* pointer) {
  return reinterpret_cast<uintptr_t>(pointer) % 16 == 0;
}

template <int kWidth>
__device__ void UpdateRun(const MomentumPiece& piece, int64_t begin, int64_t end, float factor,
                          bool nesterov) {
  for (int64_t i = begin + static_cast<int64_t>(threadIdx.x) * kWidth; i + kWidth <= end;
       i += static_cast<int64_t>(kMomentumBlock) * kWidth) {
    Pack<float, kWidth> w = LoadPack<float, kWidth>(piece.weight + i),
                        m = LoadPack<float, kWidth>(piece.momentum + i);
    const Pack<float, kWidth> g = LoadPack<float, kWidth>(piece.gradient + i);
    for (int j = 0; j < kWidth; ++j) {
      const float u = piece.scale * (g.at[j] + piece.decay * w.at[j]);
      m.at[j] = factor * m.at[j] + u;
      w.at[j] -= piece.rate * (nesterov ? u + factor * m.at[j] : m.at[j]);
    }
    StorePack(w, piece.weight + i);
    StorePack(m, piece.momentum + i);
  }
}

// Blocks: one a piece.
__global__ void __launch_bounds__(kMomentumBlock)
    UpdatePieces(const MomentumPiece* pieces, float factor, bool nesterov) {
  const MomentumPiece piece = pieces[blockIdx.x];
  const bool packed = Aligned(piece.weight) && Aligned(piece.gradient) && Aligned(piece.momentum);
  const int64_t whole = packed ? piece.count / 4 * 4 : 0;
  UpdateRun<4>(piece, 0, whole, factor, nesterov);
  UpdateRun<1>(piece, whole, piece.count, factor, nesterov);
}

}  // namespace
}  // namespace seer::engine::cuda
