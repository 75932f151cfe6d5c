#include "engine/checkpoint/parallel.h"

#include <algorithm>
#include <atomic>

#include <ATen/Parallel.h>

namespace seer::engine {

void RunInParallel(int64_t count, const std::function<void(int64_t)>& body) {
  std::atomic<int64_t> next = 0;
  at::parallel_for(0, std::min<int64_t>(count, at::get_num_threads()), 1,
                   [&](int64_t begin, int64_t end) {
                     for (; begin < end; ++begin) {
                       for (int64_t i = next++; i < count; i = next++) body(i);
                     }
                   });
}

}  // namespace seer::engine
