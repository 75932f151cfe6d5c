#include "engine/checkpoint/snapshot.h"

#include <utility>

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "engine/checkpoint/layout.h"
#include "engine/checkpoint/parallel.h"

namespace seer::engine {
namespace {

// A tensor and where its bytes go.
struct Gather {
  at::Tensor from;
  char* to;

  void Run() const {
    const at::NoGradGuard no_grad;
    at::from_blob(to, from.sizes(), from.options().device(at::kCPU).requires_grad(false))
        .copy_(from.detach());
  }
};

}  // namespace

std::string SafetensorsDtype(at::ScalarType type) {
  SEER_CHECK(type == at::kFloat || type == at::kLong)
      << "no checkpoint type for " << c10::toString(type);
  return type == at::kFloat ? "F32" : "I64";
}

HostSnapshot TakeSnapshot(const std::vector<StateTensor>& shared_state,
                          const std::vector<StateTensor>& first_rank_state,
                          const std::map<std::string, std::string>& metadata, int rank,
                          int world_size, HostBuffer reused) {
  std::vector<StateTensor> state = shared_state;
  state.insert(state.end(), first_rank_state.begin(), first_rank_state.end());
  std::vector<TensorSize> sizes;
  for (const StateTensor& t : state)
    sizes.push_back({t.name, t.bytes(), sizes.size() >= shared_state.size()});
  const std::vector<int> writers = AssignWriters(sizes, world_size);

  HostSnapshot snapshot;
  snapshot.rank = rank;
  snapshot.header.metadata = metadata;
  snapshot.header.metadata["rank"] = absl::StrCat(rank);
  snapshot.header.metadata["world_size"] = absl::StrCat(world_size);
  // Those of 8 bytes an element first, so that each stands at a multiple of its size.
  std::vector<size_t> mine;
  for (const bool wide : {true, false}) {
    for (size_t i = 0; i < state.size(); ++i) {
      if (writers[i] == rank && (c10::elementSize(state[i].type) > sizeof(float)) == wide)
        mine.push_back(i);
    }
  }
  std::vector<int64_t> place(state.size(), -1);  // in the buffer; -1: another rank's
  int64_t total = 0;
  for (const size_t i : mine) {
    snapshot.header.entries.push_back(
        {state[i].name, SafetensorsDtype(state[i].type), state[i].sizes, 0, 0});
    place[i] = total;
    total += state[i].bytes();
  }
  snapshot.buffer = std::move(reused);
  if (snapshot.buffer.size != static_cast<size_t>(total) || snapshot.buffer.bytes == nullptr) {
    snapshot.buffer = {};  // freed first
    snapshot.buffer = {std::make_unique_for_overwrite<char[]>(static_cast<size_t>(total)),
                       static_cast<size_t>(total)};
  }
  std::vector<Gather> on_host;
  for (size_t i = 0; i < state.size(); ++i) {
    const bool held = state[i].held.defined();
    if (held && place[i] < 0) continue;
    const at::Tensor whole = held ? state[i].held : state[i].whole();
    if (place[i] < 0) continue;
    const Gather gather = {whole, snapshot.buffer.bytes.get() + place[i]};
    if (held && whole.is_cpu()) {
      on_host.push_back(gather);
    } else {
      gather.Run();  // one such tensor at a time; after what this thread gave a device to do
    }
  }
  RunInParallel(static_cast<int64_t>(on_host.size()),
                [&](int64_t i) { on_host[static_cast<size_t>(i)].Run(); });
  return snapshot;
}

}  // namespace seer::engine
