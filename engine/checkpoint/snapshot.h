// A rank's share of a checkpoint as bytes in host memory.
// A value; after it is taken, training may go on.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "engine/checkpoint/safetensors.h"
#include "engine/nn/segment.h"

namespace seer::engine {

struct HostSnapshot {
  int rank = 0;
  SafetensorsHeader header;  // entries without offsets; metadata without digest
  std::string data;          // the tensors' bytes in the order of the entries
};

// Copies those tensors of `state` (float or int64, any device; the same list on every rank) that
// `rank` writes. `first_rank_state` is written by rank 0 whole:
// running statistics, which differ between norm groups.
HostSnapshot TakeSnapshot(const std::vector<NamedTensor>& state,
                          const std::vector<NamedTensor>& first_rank_state,
                          const std::map<std::string, std::string>& metadata, int rank,
                          int world_size);

// "F32" or "I64", the two types that checkpoints hold; another type is a broken invariant.
std::string SafetensorsDtype(const at::Tensor& tensor);

}  // namespace seer::engine
