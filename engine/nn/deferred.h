// Parameters that have a shape but no memory yet: what would fill each is kept beside it. A network
// that no rank has the memory for is built so, and filled piece by piece. Not thread-safe.
#pragma once

#include <functional>
#include <unordered_map>
#include <utility>

#include <ATen/core/Tensor.h>

namespace seer::engine {

// Takes the tensor's memory away, under all of its views, which stay views of it.
inline void FreeMemory(const at::Tensor& tensor) {
  c10::StorageImpl& storage = *tensor.storage().unsafeGetStorageImpl();
  storage.set_data_ptr_noswap(c10::DataPtr(nullptr, tensor.device()));
  storage.set_nbytes(0);
}

class DeferredWeights {
 public:
  using Draw = std::function<void(at::Tensor&)>;

  // `draw` writes the weights of `parameter`, which it gets as a tensor of the same shape.
  void Add(const at::Tensor& parameter, Draw draw) {
    draws_[parameter.unsafeGetTensorImpl()] = std::move(draw);
  }
  // False: `parameter` is not one of these, so its weights are in it.
  bool Fill(const at::Tensor& parameter, at::Tensor& into) const {
    const auto found = draws_.find(parameter.unsafeGetTensorImpl());
    if (found == draws_.end()) return false;
    found->second(into);
    return true;
  }

 private:
  std::unordered_map<const at::TensorImpl*, Draw> draws_;
};

}  // namespace seer::engine
