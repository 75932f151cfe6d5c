// Which rank writes which tensors of a checkpoint. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace seer::engine {

struct TensorSize {
  std::string name;
  int64_t bytes = 0;
  // Ranks hold different values: all such tensors come from rank 0, so that they fit together.
  bool from_first_rank = false;
};

// The writer of each tensor, for state that every rank holds whole: rank 0 for those marked so; of
// the rest the largest tensor first, each to the rank with the fewest bytes so far. A function of
// the arguments alone, so all ranks agree without a word.
std::vector<int> AssignWriters(const std::vector<TensorSize>& tensors, int world_size);

}  // namespace seer::engine
