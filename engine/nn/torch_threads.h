// Work on LibTorch's threads.
#pragma once

#include <cstdint>

#include <ATen/ATen.h>
#include <ATen/TensorIterator.h>

#include "common/base/check.h"

namespace seer::engine {

// body(begin, end) for runs of the numbers from 0 to `count`. LibTorch's own parallel_for is serial
// in code that is compiled without OpenMP, as this is, so an iterator over the numbers carries the
// work into the library.
template <typename Body>
void OnTorchThreads(int64_t count, const Body& body) {
  if (count == 0) return;
  const at::Tensor numbers = at::arange(count, at::kLong);
  at::TensorIteratorConfig config;
  auto iterator = config.add_const_input(numbers).build();
  iterator.for_each(
      [&](char** data, const int64_t* strides, int64_t inner, int64_t outer) {
        SEER_CHECK(outer == 1 && (inner == 1 || strides[0] == sizeof(int64_t)))
            << "the numbers of chunks lie apart";
        const int64_t begin = *reinterpret_cast<const int64_t*>(data[0]);
        body(begin, begin + inner);
      },
      /*grain_size=*/1);
}

}  // namespace seer::engine
