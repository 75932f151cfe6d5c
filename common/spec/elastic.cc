#include "common/spec/elastic.h"

#include <algorithm>

namespace seer {

std::vector<int> WorldSizes(const v1::JobSpec& spec) {
  const v1::DistributedSpec& distributed = spec.distributed();
  const int ranks = distributed.ranks();
  std::vector<int> sizes = {ranks};
  if (distributed.min_ranks() < 1) return sizes;  // as stored before there was a choice
  const auto divides = [](int group, int size) { return group <= 0 || size % group == 0; };
  for (int size = ranks - 1; size >= distributed.min_ranks(); --size) {
    if (spec.data().global_batch() % size == 0 && divides(distributed.sync_bn_group_size(), size) &&
        divides(distributed.shard_group_size(), size))
      sizes.push_back(size);
  }
  return sizes;
}

int64_t AccumulationSteps(const v1::JobSpec& spec, int world_size) {
  const int64_t wanted = std::max<int64_t>(1, spec.optim().accumulation_steps());
  if (world_size >= spec.distributed().ranks()) return wanted;
  const int64_t batch = spec.data().global_batch() / world_size;
  const int64_t largest =
      std::max<int64_t>(1, spec.data().global_batch() / spec.distributed().ranks() / wanted);
  int64_t parts = (batch + largest - 1) / largest;
  while (parts < batch && batch % parts != 0) ++parts;
  return parts;
}

}  // namespace seer
