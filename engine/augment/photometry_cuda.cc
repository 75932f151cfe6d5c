#include "engine/augment/photometry_cuda.h"

#include <algorithm>
#include <cstring>

#include <ATen/ATen.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

#include "engine/augment/fused_photometry.h"
#include "engine/device/device.h"

namespace seer::engine {
namespace {

constexpr int64_t kMostCrops = 65535;  // of one grid

cuda::CropDraw ToKernel(const CropPhotometry& draw, float sigma_scale) {
  cuda::CropDraw to{};
  for (size_t i = 0; i < 4; ++i) {
    to.strength[i] = draw.strength[i];
    to.order[i] = static_cast<unsigned char>(draw.order[i]);
  }
  to.sigma = draw.sigma * sigma_scale;
  to.jitter = draw.jitter;
  to.grey = draw.grey;
  to.blur = draw.blur;
  to.solarize = draw.solarize;
  return to;
}

}  // namespace

std::optional<at::Tensor> FusedPhotometry(const at::Tensor& pixels,
                                          const std::vector<CropPhotometry>& draws,
                                          const PhotometryConfig& config, const BlurScale& blur) {
  const int64_t crops = pixels.size(0), size = pixels.size(1);
  if (!pixels.is_cuda() || pixels.size(2) != size || crops == 0 || crops > kMostCrops ||
      2 * blur.radius + 1 > cuda::kMostTaps)
    return std::nullopt;
  const c10::cuda::CUDAGuard guard(pixels.device());
  std::vector<int64_t> blurred;
  std::vector<cuda::CropDraw> kernel_draws;
  for (size_t i = 0; i < draws.size(); ++i) {
    if (draws[i].blur) blurred.push_back(static_cast<int64_t>(i));
    kernel_draws.push_back(ToKernel(draws[i], blur.sigma));
  }
  // One copy: the indices, then the draws.
  const auto index_bytes = static_cast<int64_t>(blurred.size() * sizeof(int64_t)),
             draw_bytes = static_cast<int64_t>(kernel_draws.size() * sizeof(cuda::CropDraw));
  const at::Tensor host = at::empty({index_bytes + draw_bytes}, at::kByte);
  auto* const bytes = host.mutable_data_ptr<uint8_t>();
  if (index_bytes > 0) std::memcpy(bytes, blurred.data(), static_cast<size_t>(index_bytes));
  std::memcpy(bytes + index_bytes, kernel_draws.data(), static_cast<size_t>(draw_bytes));
  const at::Tensor there = CopyTo(pixels.device(), host);
  const uint8_t* const uploaded = there.const_data_ptr<uint8_t>();

  cuda::PhotometryBatch batch;
  batch.crops = crops;
  batch.size = static_cast<int>(size);
  std::copy_n(config.mean.begin(), 3, batch.scale.mean);
  std::copy_n(config.std.begin(), 3, batch.scale.std);
  batch.radius = static_cast<int>(blur.radius);
  batch.blurred = static_cast<int64_t>(blurred.size());
  batch.stream = c10::cuda::getCurrentCUDAStream().stream();
  const auto floats = at::TensorOptions(at::kFloat).device(pixels.device());
  const at::Tensor in = pixels.contiguous(), out = at::empty({crops, size, size, 3}, floats),
                   sums = at::empty({cuda::GreySumsSize(batch)}, floats),
                   spare = at::empty({batch.blurred * size * size * 3}, floats);
  cuda::Paint(batch, in.const_data_ptr<uint8_t>(),
              reinterpret_cast<const cuda::CropDraw*>(uploaded + index_bytes),
              reinterpret_cast<const int64_t*>(uploaded), sums.mutable_data_ptr<float>(),
              spare.mutable_data_ptr<float>(), out.mutable_data_ptr<float>());
  return out.permute({0, 3, 1, 2});
}

}  // namespace seer::engine
