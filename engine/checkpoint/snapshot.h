// A rank's share of a checkpoint as bytes in host memory.
// A value; after it is taken, training may go on.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "engine/checkpoint/safetensors.h"
#include "engine/checkpoint/state_tensor.h"

namespace seer::engine {

// Memory that is neither cleared nor, while its size does not change, given back: touching new
// pages costs more than the copy into them.
struct HostBuffer {
  std::unique_ptr<char[]> bytes;
  size_t size = 0;
};

struct HostSnapshot {
  int rank = 0;
  SafetensorsHeader header;  // entries without offsets; metadata without digest
  HostBuffer buffer;

  // The tensors' bytes in the order of the entries.
  absl::string_view data() const { return {buffer.bytes.get(), buffer.size}; }
};

// Copies those tensors of `state` (float or int64, any device; the same list on every rank) that
// `rank` writes, on the intra-op threads. Collective if ranks hold parts of a tensor.
// `first_rank_state` is written by rank 0 whole: running statistics, which differ between norm
// groups. `reused`: the buffer of a snapshot that is no longer needed, or an empty one.
HostSnapshot TakeSnapshot(const std::vector<StateTensor>& state,
                          const std::vector<StateTensor>& first_rank_state,
                          const std::map<std::string, std::string>& metadata, int rank,
                          int world_size, HostBuffer reused = {});

// "F32" or "I64", the two types that checkpoints hold; another type is a broken invariant.
std::string SafetensorsDtype(at::ScalarType type);

}  // namespace seer::engine
