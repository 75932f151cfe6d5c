#include "engine/checkpoint/parallel.h"

#include <algorithm>
#include <atomic>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/TensorIterator.h>

namespace seer::engine {

// at::parallel_for is serial in code that is compiled without OpenMP, as this is, so an iterator
// over one number for each thread carries the loop into the library.
void RunInParallel(int64_t count, const std::function<void(int64_t)>& body) {
  if (count == 0) return;
  std::atomic<int64_t> next = 0;
  const at::Tensor threads =
      at::zeros({std::min<int64_t>(count, at::get_num_threads())}, at::kLong);
  at::TensorIteratorConfig config;
  auto iterator = config.add_const_input(threads).build();
  iterator.for_each(
      [&](char** /*data*/, const int64_t* /*strides*/, int64_t /*inner*/, int64_t /*outer*/) {
        for (int64_t i = next++; i < count; i = next++) body(i);
      },
      /*grain_size=*/1);
}

}  // namespace seer::engine
