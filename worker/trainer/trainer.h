// One rank from its assignment to its exit code: joins the engine's session with batches,
// checkpoints and reports.
#pragma once

#include <atomic>
#include <memory>

#include "absl/status/statusor.h"
#include "seer/internal/v1/agent.pb.h"
#include "seer/internal/v1/trainer.grpc.pb.h"
#include "seer/v1/job_spec.pb.h"
#include "worker/trainer/outcome.h"

namespace seer {
class ClientSecurity;
class FlightRecorder;
class MetricsRegistry;
}  // namespace seer

namespace seer::worker {

// What a rank has around it; all of it outlives the rank.
struct RankEnvironment {
  MetricsRegistry& metrics;
  FlightRecorder* flight = nullptr;  // is told what the rank does; may be null
  double peak_flops = 0;             // that its device can do in a second; 0: not known
  std::shared_ptr<const ClientSecurity> security;  // of its calls, as MakeChannel
};

// `stop`: set from a signal handler; the rank then checkpoints at the next step boundary that all
// ranks agree on. A rank without peers that has not begun yet ends at once.
RankOutcome RunRank(const internal::v1::Assign& assign, const std::atomic<bool>& stop,
                    const RankEnvironment& environment);

// An evaluation (JOB_KIND_EVAL_KNN): features of both pools, k-NN, one report. `stop`: looked at
// between batches; an evaluation that is paused begins anew.
absl::StatusOr<Ended> RunEvaluation(const v1::JobSpec& spec, const internal::v1::Assign& assign,
                                    const std::atomic<bool>& stop, MetricsRegistry& metrics,
                                    internal::v1::Trainers::StubInterface& coordinator,
                                    const std::shared_ptr<const ClientSecurity>& security);

}  // namespace seer::worker
