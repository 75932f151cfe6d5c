// Trains one rank: the torch-free face of the engine. Not thread-safe but for RequestStop; one
// session a process. Tensor code throws inside; every method here returns a status instead
// (session/torch_boundary): out of memory → RESOURCE_EXHAUSTED, collectives and store →
// UNAVAILABLE, the rest → INTERNAL. After UNAVAILABLE the process must exit.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/object_store.h"
#include "engine/session/batch.h"
#include "engine/session/config.h"

namespace seer::engine {

class TraceRecorder;

// Asks all ranks to record the same steps.
struct TraceRequest {
  int64_t number = 0;  // grows from request to request; 0: no request
  int steps = 0;       // to record
};

// Seconds spent in each part of a step, by the device's clock; communication is what the host spent
// blocked in it (with NCCL next to nothing: there a phase's time includes what it waited for).
// Names are those of seer_train_step_seconds{phase}.
struct PhaseSeconds {
  double copy = 0, augment = 0, forward = 0, loss = 0, backward = 0, communication = 0,
         optimizer = 0;
};

// What one step showed; loss and health are means over all ranks.
struct StepReport {
  int64_t step = 0;
  double loss = 0;
  double learning_rate = 0;
  double gradient_norm =
      0;  // L2, of the mean gradient over ranks, before clipping, LARC and weight decay
  bool stop_requested = false;  // some rank had voted to stop before this step; same on all ranks
  // What Announce told before this step: same on all ranks, and in one step's report only; 0:
  // nothing.
  int64_t announced = 0;
  // What RequestTrace asked for before this step: the next one is the first to record. Same on all
  // ranks, and in one step's report only.
  TraceRequest trace;
  bool skipped = false;  // non-finite: the optimiser step was refused on all ranks
  // Of a skipped step: this rank's own loss was finite. If all ranks' were and only a gradient was
  // not, then false on all (but true where it overflowed, see below): gradients are known after
  // their reduction alone. Codes and the batch
  // statistics of a norm group are shared: through them one rank's numbers spoil others' losses.
  bool own_finite = true;
  double loss_scale = 1;  // of this step's backward pass; 1 but in fp16
  // Of a skipped step: all losses were finite and the scale could go lower, so that it was the
  // scaled gradients that did not fit, and the next step may. Same on all ranks.
  bool overflow = false;
  double prototypes_used_ratio = 0;    // those that are the argmax of at least one code, over K
  double assignment_entropy_nats = 0;  // of the mean code; uniform: ln K
  double marginal_kl_nats = 0;  // of the mean code to the prototypes' target shares; 0: as wanted
  double top_prototype_share = 0;  // of all codes, those whose argmax is the most used prototype
  double feature_std = 0;        // of the L2-normalised feature, mean over dimensions; collapsed: 0
  double sinkhorn_residual = 0;  // largest deviation of a prototype's marginal from 1/K, relative
  // Of the queue of features, absent without one: how full it is, 0 to 1; how many steps' features
  // it holds.
  std::optional<double> queue_fill_ratio, queue_age_steps;
  int64_t images = 0;             // of this rank
  double flops = 0;               // of this rank, forward + backward by the analytic count
  int64_t device_used_bytes = 0;  // of this rank's device, by tensors as the step ends; on a CPU
  int64_t device_peak_bytes = 0;  // the process's memory; the most so far
  PhaseSeconds phases;
};

// One file of a checkpoint, as written by one rank.
struct CheckpointFile {
  std::string name;  // relative to the checkpoint's folder: "rank-0.safetensors"
  int64_t size_bytes = 0;
  std::string sha256;  // hex
};

// A copy of this rank's share of the state in host memory.
// Write may run on another thread while training goes on.
class CheckpointSnapshot {
 public:
  virtual ~CheckpointSnapshot() = default;
  virtual int64_t step() const = 0;  // the number of steps done, = the step that comes next
  virtual int64_t size_bytes() const = 0;
  // Writes "<prefix>/rank-<r>.safetensors" through `store`, durable on return.
  // RESOURCE_EXHAUSTED with DISK_FULL: nothing is left behind.
  virtual absl::StatusOr<CheckpointFile> Write(ObjectStore& store, const std::string& prefix) = 0;
};

class TrainSession {
 public:
  // Joins the gang (rendezvous), builds the network with weights keyed by (seed, parameter name).
  // INVALID_ARGUMENT: the configuration cannot be built.
  // UNAVAILABLE: the gang did not meet in time.
  static absl::StatusOr<std::unique_ptr<TrainSession>> Create(const TrainConfig& config,
                                                              const RankConfig& rank);
  virtual ~TrainSession() = default;

  // Loads a committed checkpoint (all "<prefix>/rank-*.safetensors"), written by any world size.
  // Before the first Step. DATA_LOSS with CHECKPOINT_CORRUPT, FAILED_PRECONDITION with
  // CHECKPOINT_MISMATCH (names the first tensor that differs).
  // All is checked before anything changes but the bytes' digests, which are compared while they
  // are copied: after DATA_LOSS the session is not to be used.
  virtual absl::Status Restore(ObjectStore& store, const std::string& prefix) = 0;

  // Takes weights from the safetensors file `key` in place of the seed's, under the names that
  // config.weights asks for. Before the first Step, by every rank. Rules and errors: see
  // checkpoint/import.h. Returns a text for the log: which names, what the seed's weights were kept
  // for.
  virtual absl::StatusOr<std::string> LoadWeights(ObjectStore& store, const std::string& key) = 0;

  virtual int64_t next_step() const = 0;
  // One step of SwAV (arXiv:2006.09882) over all ranks. Collective. A step with a number that is
  // not finite on any rank changes nothing and is reported as skipped. INVALID_ARGUMENT: batch.step
  // is not next_step(), or its shapes are not the configured ones.
  virtual absl::StatusOr<StepReport> Step(const Batch& batch) = 0;
  // Votes to stop after the step that is running or comes next. Any rank may; sticky; from any
  // thread. The votes travel with the step's other numbers, so all ranks read the same
  // StepReport::stop_requested after the same step.
  virtual void RequestStop() = 0;
  // Tells all ranks, by the same all-reduce, to record; see StepReport::trace. By one rank alone;
  // from any thread. A number not above that of an earlier request is passed over.
  virtual void RequestTrace(TraceRequest request) = 0;
  // Tells all ranks a number above 0, by the same all-reduce; see StepReport::announced. By one
  // rank alone; from any thread. A number not above that of an earlier call is passed over.
  virtual void Announce(int64_t number) = 0;
  // Off until it is started. The session's steps record into it; others may. Lives as long as the
  // session.
  virtual TraceRecorder& trace() = 0;
  // Copies this rank's share; the state must not change meanwhile (call between steps).
  virtual absl::StatusOr<std::unique_ptr<CheckpointSnapshot>> Snapshot() = 0;
};

}  // namespace seer::engine
