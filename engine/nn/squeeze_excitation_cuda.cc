#include "engine/nn/squeeze_excitation_cuda.h"

#include "engine/nn/rows_on_gpu.h"
#include "engine/nn/squeeze_excitation_kernels.h"

namespace seer::engine {
namespace {

int64_t PixelsOf(const at::Tensor& x) { return x.size(2) * x.size(3); }

}  // namespace

at::Tensor SumPixelsOnGpu(const at::Tensor& x, const at::Tensor& g) {
  const RowsOnGpu call(x, {g});
  const at::TensorOptions floats = at::TensorOptions(x.device()).dtype(at::kFloat);
  if (call.empty()) return at::zeros({x.size(0), x.size(1)}, floats);
  const at::Tensor sums = at::empty({x.size(0), x.size(1)}, floats);
  cuda::SumPixels(call.rows(), PixelsOf(x), x.const_data_ptr(),
                  g.defined() ? g.const_data_ptr() : nullptr, sums.data_ptr<float>());
  return sums;
}

at::Tensor ScalePixelsOnGpu(const at::Tensor& x, const at::Tensor& gate, const at::Tensor& shift) {
  at::Tensor out = at::empty_like(x);
  const RowsOnGpu call(x, {out});
  if (call.empty()) return out;
  cuda::ScalePixels(call.rows(), PixelsOf(x), x.const_data_ptr(), gate.const_data_ptr<float>(),
                    shift.defined() ? shift.const_data_ptr<float>() : nullptr, out.data_ptr());
  return out;
}

}  // namespace seer::engine
