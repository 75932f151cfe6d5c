#include "engine/session/link_speed.h"

#include <algorithm>

#include <ATen/ATen.h>

#include "common/base/clock.h"
#include "engine/parallel/communicator.h"
#include "engine/session/torch_boundary.h"

namespace seer::engine {
namespace {

constexpr double kTimeoutSeconds = 60;

}  // namespace

absl::StatusOr<std::vector<LinkSample>> MeasureAllReduce(const RankConfig& rank, int repetitions) {
  return AtTorchBoundary(
      "measuring the all-reduce", [&]() -> absl::StatusOr<std::vector<LinkSample>> {
        GangOptions options;
        options.rank = rank.rank;
        options.world_size = rank.world_size;
        options.store_host = rank.store_host;
        options.store_port = rank.store_port;
        options.store_listen_fd = rank.store_listen_fd;
        options.store_prefix = rank.store_prefix;
        options.timeout_seconds = kTimeoutSeconds;
        options.backend = CollectiveBackend::kGloo;
        const std::unique_ptr<Gang> gang = JoinGang(options);
        std::vector<LinkSample> samples;
        for (const int64_t numbers : {256, 4096, 1 << 18, 1 << 20, 1 << 22}) {
          const at::Tensor tensor = at::zeros({numbers}, at::kFloat);
          LinkSample sample{static_cast<double>(numbers) * sizeof(float), 0};
          for (int i = 0; i <= repetitions; ++i) {
            gang->world().Barrier();
            const absl::Duration start = Clock::Real().Steady();
            gang->world().AllReduce(tensor);
            const double seconds = absl::ToDoubleSeconds(Clock::Real().Steady() - start);
            // The first one opens connections.
            if (i > 0) sample.seconds = i == 1 ? seconds : std::min(sample.seconds, seconds);
          }
          samples.push_back(sample);
        }
        return samples;
      });
}

}  // namespace seer::engine
