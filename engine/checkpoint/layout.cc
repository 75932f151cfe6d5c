#include "engine/checkpoint/layout.h"

#include <algorithm>
#include <numeric>

namespace seer::engine {

std::vector<int> AssignWriters(const std::vector<TensorSize>& tensors, int world_size) {
  std::vector<size_t> order(tensors.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return tensors[a].bytes != tensors[b].bytes ? tensors[a].bytes > tensors[b].bytes
                                                : tensors[a].name < tensors[b].name;
  });
  std::vector<int64_t> load(static_cast<size_t>(world_size), 0);
  std::vector<int> writer(tensors.size());
  for (size_t i = 0; i < tensors.size(); ++i) {
    if (tensors[i].from_first_rank) load[0] += tensors[i].bytes;  // writer[i] is 0
  }
  for (const size_t i : order) {
    if (tensors[i].from_first_rank) continue;
    const auto least = std::min_element(load.begin(), load.end());
    writer[i] = static_cast<int>(least - load.begin());
    *least += tensors[i].bytes;
  }
  return writer;
}

}  // namespace seer::engine
