// One rank from its assignment to its exit code: joins the engine's session with batches,
// checkpoints and reports.
#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "seer/internal/v1/agent.pb.h"
#include "seer/internal/v1/trainer.grpc.pb.h"
#include "seer/v1/job_spec.pb.h"

namespace seer {
class MetricsRegistry;
}

namespace seer::worker {

struct RankOutcome {
  int exit_code = 0;   // worker/exit_codes.h
  std::string reason;  // UPPER_SNAKE; the rank's last word
  std::string message;
};

// `stop`: set from a signal handler; the rank then checkpoints at the next step boundary that all
// ranks agree on.
RankOutcome RunRank(const internal::v1::Assign& assign, const std::atomic<bool>& stop,
                    MetricsRegistry& metrics);

// The exit code of a failure: decided in this one place.
RankOutcome OutcomeOf(const absl::Status& status);

// An evaluation (JOB_KIND_EVAL_KNN): features of both pools, k-NN, one report.
absl::Status RunEvaluation(const v1::JobSpec& spec, const internal::v1::Assign& assign,
                           internal::v1::Trainers::StubInterface& coordinator);

}  // namespace seer::worker
