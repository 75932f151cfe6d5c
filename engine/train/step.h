// One training step of one rank, from uint8 crops to updated weights, and the state it moves. Not
// thread-safe. Throws what tensor code throws; session/ turns that into statuses.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "engine/checkpoint/state_tensor.h"
#include "engine/device/device.h"
#include "engine/optim/loss_scale.h"
#include "engine/optim/optimizer.h"
#include "engine/optim/weight_mean.h"
#include "engine/parallel/communicator.h"
#include "engine/parallel/executor.h"
#include "engine/parallel/placement.h"
#include "engine/session/batch.h"
#include "engine/session/config.h"
#include "engine/session/train_session.h"
#include "engine/ssl/feature_queue.h"
#include "engine/ssl/sinkhorn.h"
#include "engine/trace/trace_recorder.h"
#include "engine/train/network.h"
#include "engine/train/phase_clock.h"

namespace seer::engine {

class TrainStep {
 public:
  // `gang`, whose collectives are for tensors of `device`, must outlive this. INVALID_ARGUMENT: the
  // network cannot be built.
  static absl::StatusOr<std::unique_ptr<TrainStep>> Create(
      const TrainConfig& config, Gang& gang, std::unique_ptr<Device> device = OpenCpu());

  // The batch has the configured shapes. A step whose loss or gradient is not finite on any rank is
  // refused on all: weights, state of the optimiser,
  // running statistics and queue stay as they were, and the step counts as done. In fp16 the loss
  // is scaled, see optim/loss_scale.h. Photometry, forward, codes, loss, backward with reduction,
  // then the optimiser (SGD in arXiv:2006.09882, section 3), in the order of main_swav.py
  // (prototypes normalised first; frozen ones get no gradient).
  StepReport Run(const Batch& batch);

  void RequestStop() { stop_vote_ = true; }  // thread-safe; see TrainSession::RequestStop
  // Thread-safe; see TrainSession::RequestTrace.
  void RequestTrace(TraceRequest request) ABSL_LOCKS_EXCLUDED(trace_mu_);
  void Announce(int64_t number);  // thread-safe; see TrainSession::Announce
  TraceRecorder& trace() { return *trace_; }
  int64_t next_step() const { return next_step_; }
  void set_next_step(int64_t step) { next_step_ = step; }
  Network& network() { return network_; }
  ParameterPlacement& placement() { return *placement_; }
  FeatureQueue* queue() { return queue_ ? &*queue_ : nullptr; }
  // All that a later attempt needs and that is the same on every rank, though ranks may hold parts
  // of it: parameters, the optimiser's state, then the weights' mean, the loss scale and the queue,
  // if the job has them. Refers to this.
  std::vector<StateTensor> SharedState() const;
  // Running statistics, which are the same within a norm group only.
  std::vector<StateTensor> Buffers() const { return HeldWhole(network_.Buffers()); }

 private:
  TrainStep(const TrainConfig& config, Gang& gang, std::unique_ptr<Device> device,
            Communicator& norm_group, Network network, std::vector<OptimParameter> parameters,
            const DeferredWeights& deferred, std::vector<bool> recompute);

  std::vector<std::vector<at::Tensor>> Augment(const Batch& batch, PhaseSeconds& seconds,
                                               PhaseClock& clock) const;
  at::Tensor ForwardParts(const Batch& batch, const std::vector<std::vector<at::Tensor>>& inputs);
  void BackwardParts(const Batch& batch, const std::vector<std::vector<at::Tensor>>& inputs,
                     const at::Tensor& gradient);
  Codes AssignCodes(const at::Tensor& scores, const at::Tensor& prototypes) const;
  std::vector<bool> Frozen() const;
  std::vector<StateTensor> StateOfPieces(const std::vector<NamedTensor>& tensors) const;
  double BlockedSeconds() const;
  TraceRequest TraceVote() const ABSL_LOCKS_EXCLUDED(trace_mu_);
  bool PrototypesFrozen() const { return next_step_ < config_.swav.freeze_prototypes_steps; }
  bool QueueActive() const {
    return queue_.has_value() && next_step_ >= config_.swav.queue_start_step;
  }

  const TrainConfig config_;
  const std::unique_ptr<Device> device_;
  Communicator& world_;
  Communicator& norm_group_;
  Network network_;
  const std::vector<std::vector<int64_t>> shapes_;  // of the parameters, whole
  const std::unique_ptr<ParameterPlacement> placement_;
  std::set<Communicator*> communicators_;  // all that a step waits for
  ChainExecutor executor_;
  const std::vector<OptimParameter> parameters_;  // placement_'s own, as the optimiser knows them
  const std::unique_ptr<Optimizer> optimizer_;
  std::optional<WeightMean> mean_;
  std::optional<LossScale> loss_scale_;  // of fp16
  std::optional<FeatureQueue> queue_;
  const at::Tensor prototype_shares_;  // that the codes aim at, on the device
  int64_t next_step_ = 0;
  std::atomic<bool> stop_vote_ = false;
  std::atomic<int64_t> announcement_ = 0;
  int64_t last_announced_ = 0;  // that all ranks know of
  // Shared with collectives in flight.
  const std::shared_ptr<TraceRecorder> trace_ = std::make_shared<TraceRecorder>();
  int64_t last_trace_ = 0;  // number of the newest request that all ranks know of
  mutable absl::Mutex trace_mu_;
  TraceRequest trace_request_ ABSL_GUARDED_BY(trace_mu_);
};

}  // namespace seer::engine
