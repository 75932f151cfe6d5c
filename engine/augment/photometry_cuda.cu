#include "engine/augment/photometry_cuda.cuh"

#include "engine/device/cuda_launch.cuh"

namespace seer::engine::cuda {
namespace {

unsigned Shares(const PhotometryBatch& batch) {
  const int64_t pixels = static_cast<int64_t>(batch.size) * batch.size;
  return static_cast<unsigned>((pixels + kPixelsOfABlock - 1) / kPixelsOfABlock);
}

}  // namespace

int64_t GreySumsSize(const PhotometryBatch& batch) { return batch.crops * Shares(batch); }

void Paint(const PhotometryBatch& batch, const unsigned char* in, const CropDraw* draws,
           const int64_t* blurred, float* sums, float* spare, float* out) {
  const int64_t pixels = static_cast<int64_t>(batch.size) * batch.size;
  const dim3 all(Shares(batch), static_cast<unsigned>(batch.crops));
  Launch(SumGreys, all, dim3(kPhotometryBlock), batch.stream, in, draws, pixels, sums);
  Launch(PaintPixels, all, dim3(kPhotometryBlock), batch.stream, in, draws,
         static_cast<const float*>(sums), pixels, batch.scale, out);
  if (batch.blurred == 0) return;
  const dim3 some(Shares(batch), static_cast<unsigned>(batch.blurred));
  Launch(BlurPixels<true>, some, dim3(kPhotometryBlock), batch.stream,
         static_cast<const float*>(out), draws, blurred, batch.size, batch.radius, batch.scale,
         spare);
  Launch(BlurPixels<false>, some, dim3(kPhotometryBlock), batch.stream,
         static_cast<const float*>(spare), draws, blurred, batch.size, batch.radius, batch.scale,
         out);
}

}  // namespace seer::engine::cuda
