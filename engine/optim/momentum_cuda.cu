#include "engine/optim/momentum_cuda.cuh"

#include "engine/device/cuda_launch.cuh"

namespace seer::engine::cuda {

void UpdateByMomentum(const MomentumPiece* pieces, int64_t count, float factor, bool nesterov,
                      void* stream) {
  Launch(UpdatePieces, dim3(static_cast<unsigned>(count)), dim3(kMomentumBlock), stream, pieces,
         factor, nesterov);
}

}  // namespace seer::engine::cuda
