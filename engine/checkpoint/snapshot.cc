#include "engine/checkpoint/snapshot.h"

#include <cstring>

#include <ATen/ATen.h>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "engine/checkpoint/layout.h"

namespace seer::engine {

std::string SafetensorsDtype(const at::Tensor& tensor) {
  SEER_CHECK(tensor.scalar_type() == at::kFloat || tensor.scalar_type() == at::kLong)
      << "no checkpoint type for " << c10::toString(tensor.scalar_type());
  return tensor.scalar_type() == at::kFloat ? "F32" : "I64";
}

HostSnapshot TakeSnapshot(const std::vector<NamedTensor>& shared_state,
                          const std::vector<NamedTensor>& first_rank_state,
                          const std::map<std::string, std::string>& metadata, int rank,
                          int world_size) {
  std::vector<NamedTensor> state = shared_state;
  state.insert(state.end(), first_rank_state.begin(), first_rank_state.end());
  std::vector<TensorSize> sizes;
  for (const NamedTensor& t : state) {
    sizes.push_back(
        {t.name, static_cast<int64_t>(t.tensor.nbytes()), sizes.size() >= shared_state.size()});
  }
  const std::vector<int> writers = AssignWriters(sizes, world_size);

  HostSnapshot snapshot;
  snapshot.rank = rank;
  snapshot.header.metadata = metadata;
  snapshot.header.metadata["rank"] = absl::StrCat(rank);
  snapshot.header.metadata["world_size"] = absl::StrCat(world_size);
  size_t total = 0;
  for (size_t i = 0; i < state.size(); ++i) {
    if (writers[i] == rank) total += state[i].tensor.nbytes();
  }
  snapshot.data.reserve(total);
  for (size_t i = 0; i < state.size(); ++i) {
    if (writers[i] != rank) continue;
    const at::Tensor host = state[i].tensor.detach().cpu().contiguous();
    snapshot.header.entries.push_back(
        {state[i].name, SafetensorsDtype(host), host.sizes().vec(), 0, 0});
    snapshot.data.append(static_cast<const char*>(host.const_data_ptr()), host.nbytes());
  }
  return snapshot;
}

}  // namespace seer::engine
