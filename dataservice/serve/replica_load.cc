#include "dataservice/serve/replica_load.h"

#include <algorithm>
#include <cmath>

namespace seer::dataservice {

std::unique_ptr<ReplicaLoadMeter::Stream> ReplicaLoadMeter::Open(const std::string& job, int rank) {
  absl::MutexLock lock(&mu_);
  Use& use = uses_[++last_];
  use.job = job;
  use.rank = rank;
  use.opened = use.counted = clock_.Steady();
  return std::make_unique<Stream>(*this, last_);
}

void ReplicaLoadMeter::Add(int64_t number, absl::Duration busy) {
  absl::MutexLock lock(&mu_);
  const absl::Duration now = clock_.Steady();
  Use& use = uses_.at(number);
  use.busy_seconds *= std::exp(-absl::FDivDuration(now - use.counted, kMean));
  use.busy_seconds += absl::ToDoubleSeconds(busy);
  use.counted = now;
  Export(now);
}

void ReplicaLoadMeter::Close(int64_t number) {
  absl::MutexLock lock(&mu_);
  uses_.erase(number);
  Export(clock_.Steady());
}

double ReplicaLoadMeter::Wanted(const Use& use, absl::Duration now) const {
  // Of a young stream the mean is that of its life so far, and of a second at least.
  const double age = std::max(absl::ToDoubleSeconds(now - use.opened), 1.0),
               mean = absl::ToDoubleSeconds(kMean), window = mean * (1 - std::exp(-age / mean));
  const double share = use.busy_seconds * std::exp(-absl::FDivDuration(now - use.counted, kMean)) /
                       window / threads_;
  const double stall =
      now - use.reported > kReportAge ? 0 : std::clamp(use.stall_ratio, 0.0, kMostStall);
  return share / (1 - stall);
}

void ReplicaLoadMeter::Export(absl::Duration now) {
  double wanted = 0;
  for (const auto& [number, use] : uses_) wanted += Wanted(use, now);
  wanted_.Set(wanted / kTargetUse);
}

v1::ReplicaLoad ReplicaLoadMeter::Get(const v1::GetReplicaLoadRequest& request) {
  absl::MutexLock lock(&mu_);
  const absl::Duration now = clock_.Steady();
  v1::ReplicaLoad load;
  for (auto& [number, use] : uses_) {
    const bool asks =
        !request.job().empty() && use.job == request.job() && use.rank == request.rank();
    if (asks && request.has_stall_ratio()) {
      use.stall_ratio = request.stall_ratio();
      use.reported = now;
    }
    const double wanted = Wanted(use, now);
    load.set_wanted(load.wanted() + wanted);
    if (asks) load.set_stream_wanted(load.stream_wanted() + wanted);
  }
  load.set_streams(static_cast<int32_t>(uses_.size()));
  Export(now);
  return load;
}

}  // namespace seer::dataservice
