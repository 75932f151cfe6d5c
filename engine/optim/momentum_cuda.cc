#include "engine/optim/momentum_cuda.h"

#include <algorithm>
#include <cstring>

#include <ATen/ATen.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

#include "engine/device/device.h"
#include "engine/optim/fused_momentum.h"

namespace seer::engine {
namespace {

// Elements that belong together lie at the same place in all three.
bool Fits(const at::Tensor& w, const at::Tensor& g, const at::Tensor& m) {
  for (const at::Tensor& t : {w, g, m}) {
    if (!t.is_cuda() || t.scalar_type() != at::kFloat || t.device() != w.device() ||
        !t.is_non_overlapping_and_dense() || t.sizes() != w.sizes() || t.strides() != w.strides())
      return false;
  }
  return true;
}

}  // namespace

bool FusedMomentum(const Update& update, const std::vector<at::Tensor>& momentum, double factor,
                   bool nesterov) {
  std::vector<cuda::MomentumPiece> pieces;
  for (size_t i = 0; i < momentum.size(); ++i) {
    const at::Tensor &w = update.weights[i], &g = update.gradients[i], &m = momentum[i];
    if (!Fits(w, g, m) || w.device() != momentum[0].device()) return false;
    for (int64_t first = 0; first < w.numel(); first += cuda::kMostOfAPiece) {
      pieces.push_back({w.data_ptr<float>() + first, g.const_data_ptr<float>() + first,
                        m.data_ptr<float>() + first,
                        std::min(cuda::kMostOfAPiece, w.numel() - first),
                        static_cast<float>(update.scales[i]), static_cast<float>(update.decays[i]),
                        static_cast<float>(update.learning_rates[i])});
    }
  }
  if (pieces.empty()) return true;
  const at::Device device = momentum[0].device();
  const c10::cuda::CUDAGuard guard(device);
  const auto bytes = static_cast<int64_t>(pieces.size() * sizeof(cuda::MomentumPiece));
  const at::Tensor host = at::empty({bytes}, at::kByte);
  std::memcpy(host.mutable_data_ptr(), pieces.data(), static_cast<size_t>(bytes));
  const at::Tensor there = CopyTo(device, host);
  cuda::UpdateByMomentum(reinterpret_cast<const cuda::MomentumPiece*>(there.const_data_ptr()),
                         static_cast<int64_t>(pieces.size()), static_cast<float>(factor), nesterov,
                         c10::cuda::getCurrentCUDAStream().stream());
  return true;
}

}  // namespace seer::engine
