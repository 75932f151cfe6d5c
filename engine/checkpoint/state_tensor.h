// One tensor of a job's state as checkpoints hold it: whole and under its name, wherever its parts
// lie on the ranks. A value; what it refers to must outlive it.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "engine/nn/segment.h"

namespace seer::engine {

struct StateTensor {
  std::string name;
  std::vector<int64_t> sizes;
  at::ScalarType type = at::kFloat;  // or kLong
  // All of it. Collective where ranks hold parts: all ranks call it for the same tensors in order.
  std::function<at::Tensor()> whole;
  // Of one rank alone; for other tensors also on other threads at the same time.
  std::function<void(const at::Tensor& whole)> restore;
  // If it is here whole: shared with its owner, so that it can be read and written without a copy.
  at::Tensor held = {};

  int64_t bytes() const {
    int64_t bytes = static_cast<int64_t>(c10::elementSize(type));
    for (const int64_t size : sizes) bytes *= size;
    return bytes;
  }
};

// Of a tensor that every rank holds whole; shared, not copied.
inline StateTensor HeldWhole(NamedTensor held) {
  at::Tensor tensor = held.tensor.detach();
  return {std::move(held.name),
          tensor.sizes().vec(),
          tensor.scalar_type(),
          [tensor] { return tensor; },
          [tensor](const at::Tensor& whole) {
            const at::NoGradGuard no_grad;
            at::Tensor into = tensor;
            into.copy_(whole);
          },
          tensor};
}

inline std::vector<StateTensor> HeldWhole(const std::vector<NamedTensor>& held) {
  std::vector<StateTensor> state;
  for (const NamedTensor& t : held) state.push_back(HeldWhole(t));
  return state;
}

}  // namespace seer::engine
