#include "engine/train/step.h"

#include <cmath>
#include <utility>

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include "common/base/clock.h"
#include "common/base/status_macros.h"
#include "engine/augment/photometry.h"
#include "engine/nn/swav_head.h"
#include "engine/optim/schedule.h"
#include "engine/ssl/swav_loss.h"
#include "engine/train/health.h"

namespace seer::engine {
namespace {

// Host seconds since the last call; what was spent blocked in collectives is not the phase's.
class PhaseClock {
 public:
  explicit PhaseClock(double blocked) : blocked_(blocked) {}
  double Lap(double blocked) {
    const absl::Duration now = Clock::Real().Steady();
    const double waited = blocked - blocked_;
    const double lap = absl::ToDoubleSeconds(now - start_) - waited;
    start_ = now;
    blocked_ = blocked;
    communication_ += waited;
    return lap;
  }
  double communication() const { return communication_; }

 private:
  absl::Duration start_ = Clock::Real().Steady();
  double blocked_;
  double communication_ = 0;
};

// [views of all resolutions, samples, D] out of one [views * samples, D] a resolution.
at::Tensor ByView(const std::vector<at::Tensor>& outputs, const Batch& batch) {
  std::vector<at::Tensor> views;
  for (size_t g = 0; g < outputs.size(); ++g) {
    views.push_back(outputs[g].view({batch.crops[g].views, batch.crops[g].samples, -1}));
  }
  return at::cat(views, 0);
}

std::vector<at::Tensor> ByResolution(const at::Tensor& by_view, const Batch& batch) {
  std::vector<at::Tensor> parts;
  int64_t first = 0;
  for (const CropTensor& crop : batch.crops) {
    parts.push_back(by_view.narrow(0, first, crop.views).flatten(0, 1));
    first += crop.views;
  }
  return parts;
}

}  // namespace

absl::StatusOr<std::unique_ptr<TrainStep>> TrainStep::Create(const TrainConfig& config,
                                                             Gang& gang) {
  Communicator& norm_group = gang.Group(config.distributed.sync_bn_group_size);
  SEER_ASSIGN_OR_RETURN(Network network, BuildNetwork(config, norm_group));
  SEER_ASSIGN_OR_RETURN(std::vector<bool> recompute,
                        RecomputeChoice(config, gang.world().size(), network));
  return std::unique_ptr<TrainStep>(
      new TrainStep(config, gang, norm_group, std::move(network), std::move(recompute)));
}

TrainStep::TrainStep(const TrainConfig& config, Gang& gang, Communicator& norm_group,
                     Network network, std::vector<bool> recompute)
    : config_(config),
      world_(gang.world()),
      norm_group_(norm_group),
      network_(std::move(network)),
      executor_(network_.chain, std::move(recompute)),
      gradients_(GradientGroups(), config.distributed.bucket_bytes),
      reduction_(gradients_, world_),
      parameters_(network_.Parameters()),
      optimizer_(MakeOptimizer(parameters_, config.optim)) {
  if (config.optim.ema_decay > 0) mean_.emplace(parameters_, config.optim.ema_decay);
  const SwavConfig& swav = config.swav;
  if (swav.queue_length > 0)
    queue_.emplace(swav.assign_views, swav.queue_length, config.head.output_dim);
}

StepReport TrainStep::Run(const Batch& batch) {
  StepReport report;
  report.step = next_step_;
  const StepRates rates = RatesAt(config_.optim, next_step_);
  report.learning_rate = rates.learning_rate;
  PhaseSeconds& seconds = report.phases;
  const std::vector<at::Tensor> inputs = Augment(batch, seconds);
  PhaseClock clock(BlockedSeconds());

  at::Tensor prototypes = network_.prototypes.tensor;
  NormaliseRows(prototypes);
  gradients_.Zero();
  const std::vector<at::Tensor> outputs = executor_.Forward(inputs);
  seconds.forward = clock.Lap(BlockedSeconds());

  const at::Tensor features = ByView(outputs, batch).requires_grad_();  // [views, samples, D]
  const at::Tensor scores = at::matmul(features, prototypes.t());       // [views, samples, K]
  Codes codes = AssignCodes(scores.detach());
  if (next_step_ < config_.swav.hard_code_steps) codes.codes = HardCodes(codes.codes);
  const at::Tensor loss =
      SwavLoss(scores, codes.codes,
               ValueAt(config_.optim.schedules.temperature, next_step_, config_.swav.temperature));
  torch::autograd::backward({loss});
  seconds.loss = clock.Lap(BlockedSeconds());

  if (PrototypesFrozen()) prototypes.mutable_grad().zero_();
  reduction_.GroupDone(0);
  const size_t segments = network_.chain.size();
  executor_.Backward(ByResolution(features.grad(), batch),
                     [&](size_t segment) { reduction_.GroupDone(segments - segment); });
  reduction_.Finish();
  seconds.backward = clock.Lap(BlockedSeconds());

  report.gradient_norm = GradientNorm(parameters_).item<double>();
  const double own_loss = loss.item<double>();
  const at::Tensor assigned = features.detach().narrow(0, 0, config_.swav.assign_views);
  const bool finite = std::isfinite(own_loss) && std::isfinite(report.gradient_norm);
  const StepHealth health =
      GatherHealth({own_loss, finite, stop_vote_}, codes.codes, assigned, world_);
  if (health.all_finite) {
    std::vector<bool> frozen(parameters_.size(), false);
    frozen.back() = PrototypesFrozen();
    if (config_.optim.clip_norm > 0)
      ClipGradients(parameters_, report.gradient_norm, config_.optim.clip_norm);
    optimizer_->Step(rates, frozen);
    if (mean_) mean_->Update();
    executor_.CommitStatistics();
    if (QueueActive()) queue_->Push(assigned, world_);
  }
  seconds.optimizer = clock.Lap(BlockedSeconds());
  seconds.communication = clock.communication();

  report.stop_requested = health.stop_requested;
  report.skipped = !health.all_finite;
  // Reduced gradients are everybody's: they tell nothing where the losses do.
  report.own_finite = std::isfinite(health.loss) ? finite : std::isfinite(own_loss);
  report.loss = health.loss;
  report.prototypes_used_ratio = health.prototypes_used_ratio;
  report.assignment_entropy_nats = health.assignment_entropy_nats;
  report.top_prototype_share = health.top_prototype_share;
  report.feature_std = health.feature_std;
  report.sinkhorn_residual = codes.residual.item<double>();
  report.images = batch.crops[0].samples;
  report.flops = network_.flops_per_sample * batch.crops[0].samples;
  ++next_step_;
  return report;
}

std::vector<NamedTensor> TrainStep::OptimizerState() const {
  std::vector<NamedTensor> state = optimizer_->State();
  if (!mean_) return state;
  for (NamedTensor& m : mean_->State()) state.push_back(std::move(m));
  return state;
}

std::vector<at::Tensor> TrainStep::Augment(const Batch& batch, PhaseSeconds& seconds) const {
  std::vector<at::Tensor> inputs;
  uint32_t crop_index = 0;
  PhaseClock clock(0);
  for (const CropTensor& crop : batch.crops) {
    const at::Tensor pixels =
        at::from_blob(const_cast<char*>(crop.pixels.data()),
                      {crop.views * crop.samples, crop.size, crop.size, 3}, at::kByte);
    seconds.copy += clock.Lap(0);
    std::vector<CropPhotometry> draws;
    for (int view = 0; view < crop.views; ++view, ++crop_index) {
      for (int s = 0; s < crop.samples; ++s) {
        const auto sample = static_cast<uint64_t>(batch.first_sample + s);
        draws.push_back(DrawPhotometry(config_.photometry, config_.seed, sample, crop_index));
      }
    }
    at::Tensor x = ApplyPhotometry(pixels, draws, config_.photometry);
    if (config_.precision == Precision::kBf16) x = x.to(at::kBFloat16);
    inputs.push_back(std::move(x));
    seconds.augment += clock.Lap(0);
  }
  return inputs;
}

// Codes of the first assign_views views, over the batch and, once it is full, the queue.
Codes TrainStep::AssignCodes(const at::Tensor& scores) const {
  const SwavConfig& swav = config_.swav;
  const SinkhornOptions options = {
      ValueAt(config_.optim.schedules.epsilon, next_step_, swav.epsilon), swav.sinkhorn_iterations,
      swav.sinkhorn_domain, swav.power_law_exponent};
  const at::Tensor own = scores.narrow(0, 0, swav.assign_views);
  if (!QueueActive() || !queue_->full()) return Sinkhorn(own, options, world_);
  const at::Tensor queued = at::matmul(queue_->Share(world_.rank(), world_.size()),
                                       network_.prototypes.tensor.detach().t());
  Codes all = Sinkhorn(at::cat({queued, own}, 1), options, world_);
  return {all.codes.narrow(1, queued.size(1), own.size(1)), all.residual};
}

// In the order in which the backward pass finishes them: prototypes, then the chain from its end.
std::vector<std::vector<NamedTensor>> TrainStep::GradientGroups() const {
  std::vector<std::vector<NamedTensor>> groups = {{network_.prototypes}};
  for (auto segment = network_.chain.rbegin(); segment != network_.chain.rend(); ++segment) {
    groups.push_back((*segment)->parameters());
  }
  return groups;
}

double TrainStep::BlockedSeconds() const {
  const double world = world_.blocked_seconds();
  return &world_ == &norm_group_ ? world : world + norm_group_.blocked_seconds();
}

}  // namespace seer::engine
