// One training step of one rank, from uint8 crops to updated weights, and the state it moves. Not
// thread-safe. Throws what tensor code throws; session/ turns that into statuses.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/optim/optimizer.h"
#include "engine/optim/weight_mean.h"
#include "engine/parallel/communicator.h"
#include "engine/parallel/executor.h"
#include "engine/parallel/flat_buffer.h"
#include "engine/parallel/replicated.h"
#include "engine/session/batch.h"
#include "engine/session/config.h"
#include "engine/session/train_session.h"
#include "engine/ssl/feature_queue.h"
#include "engine/ssl/sinkhorn.h"
#include "engine/train/network.h"

namespace seer::engine {

class TrainStep {
 public:
  // `gang` must outlive this. INVALID_ARGUMENT: the network cannot be built.
  static absl::StatusOr<std::unique_ptr<TrainStep>> Create(const TrainConfig& config, Gang& gang);

  // The batch has the configured shapes. A step whose loss or gradient is not finite on any rank is
  // refused on all: weights, state of the optimiser,
  // running statistics and queue stay as they were, and the step counts as done.
  // Photometry, forward, codes, loss, backward with reduction, then the optimiser (SGD in
  // arXiv:2006.09882, section 3), in the order of main_swav.py (prototypes normalised first; frozen
  // ones get no gradient).
  StepReport Run(const Batch& batch);

  void RequestStop() { stop_vote_ = true; }  // thread-safe; see TrainSession::RequestStop
  int64_t next_step() const { return next_step_; }
  void set_next_step(int64_t step) { next_step_ = step; }
  Network& network() { return network_; }
  FeatureQueue* queue() { return queue_ ? &*queue_ : nullptr; }
  // The optimiser's, then the weights' mean, if the job keeps one.
  std::vector<NamedTensor> OptimizerState() const;

 private:
  TrainStep(const TrainConfig& config, Gang& gang, Communicator& norm_group, Network network,
            std::vector<bool> recompute);

  std::vector<at::Tensor> Augment(const Batch& batch, PhaseSeconds& seconds) const;
  Codes AssignCodes(const at::Tensor& scores) const;
  std::vector<std::vector<NamedTensor>> GradientGroups() const;
  double BlockedSeconds() const;
  bool PrototypesFrozen() const { return next_step_ < config_.swav.freeze_prototypes_steps; }
  bool QueueActive() const {
    return queue_.has_value() && next_step_ >= config_.swav.queue_start_step;
  }

  const TrainConfig config_;
  Communicator& world_;
  Communicator& norm_group_;
  Network network_;
  ChainExecutor executor_;
  FlatGradients gradients_;
  ReplicatedGradients reduction_;
  const std::vector<NamedTensor> parameters_;  // the network's, as the optimiser knows them
  const std::unique_ptr<Optimizer> optimizer_;
  std::optional<WeightMean> mean_;
  std::optional<FeatureQueue> queue_;
  int64_t next_step_ = 0;
  std::atomic<bool> stop_vote_ = false;
};

}  // namespace seer::engine
