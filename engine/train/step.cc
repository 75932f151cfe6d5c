#include "engine/train/step.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <utility>

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include "common/base/status_macros.h"
#include "engine/augment/photometry.h"
#include "engine/nn/deferred.h"
#include "engine/nn/swav_head.h"
#include "engine/optim/param_groups.h"
#include "engine/optim/schedule.h"
#include "engine/parallel/replicated.h"
#include "engine/parallel/sharded.h"
#include "engine/ssl/swav_loss.h"
#include "engine/train/health.h"

namespace seer::engine {
namespace {

// [views of all resolutions, samples, D] out of one [views * samples, D] a resolution.
at::Tensor ByView(const std::vector<at::Tensor>& outputs, const Batch& batch) {
  std::vector<at::Tensor> views;
  for (size_t g = 0; g < outputs.size(); ++g)
    views.push_back(outputs[g].view({batch.crops[g].views, -1, outputs[g].size(1)}));
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

bool Sharded(const TrainConfig& config) {
  return config.distributed.shard_group_size != 1 || config.memory.offload_optimizer;
}

ShardedOptions ShardGroups(const TrainConfig& config, Gang& gang) {
  const int group = config.distributed.shard_group_size;
  ShardedOptions options;
  options.gathers = &gang.Group(group, "weights");
  options.reductions = &gang.Group(group, "gradients");
  options.replicas = &gang.Across(group, "replicas");
  return options;
}

std::unique_ptr<ParameterPlacement> Place(const TrainConfig& config, Gang& gang,
                                          const Network& network, const DeferredWeights& deferred,
                                          at::Device device) {
  if (!Sharded(config)) {
    return std::make_unique<ReplicatedParameters>(network.Units(), config.distributed.bucket_bytes,
                                                  gang.world());
  }
  ShardedOptions options = ShardGroups(config, gang);
  options.device = device;
  options.offload = config.memory.offload_optimizer;
  return std::make_unique<ShardedParameters>(network.Units(), deferred, options);
}

// `rules`: of the whole parameters; `own`: what of them this rank updates.
std::vector<OptimParameter> WithTensors(std::vector<OptimParameter> rules,
                                        const std::vector<NamedTensor>& own) {
  for (size_t i = 0; i < rules.size(); ++i) rules[i].tensor = own[i].tensor;
  return rules;
}

std::vector<std::vector<int64_t>> Shapes(const std::vector<OptimParameter>& parameters) {
  std::vector<std::vector<int64_t>> shapes;
  for (const OptimParameter& p : parameters) shapes.push_back(p.tensor.sizes().vec());
  return shapes;
}

NormSums SumsOver(const ParameterPlacement& placement) {
  return [&placement](std::vector<double>& squares) { placement.SumOverPieces(squares); };
}

}  // namespace

absl::StatusOr<std::unique_ptr<TrainStep>> TrainStep::Create(const TrainConfig& config, Gang& gang,
                                                             std::unique_ptr<Device> device) {
  Communicator& norm_group = gang.Group(config.distributed.sync_bn_group_size, "norms");
  DeferredWeights deferred;
  SEER_ASSIGN_OR_RETURN(Network network,
                        BuildNetwork(config, norm_group, Sharded(config) ? &deferred : nullptr));
  network.MoveTo(device->where(), /*parameters=*/!Sharded(config));
  SEER_ASSIGN_OR_RETURN(std::vector<bool> recompute,
                        RecomputeChoice(config, gang.world().size(), network));
  SEER_ASSIGN_OR_RETURN(std::vector<OptimParameter> parameters,
                        ApplyGroups(network.Parameters(), config.optim));
  SetProductPrecision(config.precision);
  return std::unique_ptr<TrainStep>(new TrainStep(config, gang, std::move(device), norm_group,
                                                  std::move(network), std::move(parameters),
                                                  deferred, std::move(recompute)));
}

TrainStep::TrainStep(const TrainConfig& config, Gang& gang, std::unique_ptr<Device> device,
                     Communicator& norm_group, Network network,
                     std::vector<OptimParameter> parameters, const DeferredWeights& deferred,
                     std::vector<bool> recompute)
    : config_(config),
      device_(std::move(device)),
      world_(gang.world()),
      norm_group_(norm_group),
      network_(std::move(network)),
      shapes_(Shapes(parameters)),
      placement_(Place(config, gang, network_, deferred, device_->where())),
      executor_(network_.chain, *placement_, std::move(recompute),
                static_cast<size_t>(config.accumulation_steps)),
      parameters_(WithTensors(std::move(parameters), placement_->own())),
      optimizer_(MakeOptimizer(parameters_, config.optim, SumsOver(*placement_))),
      prototype_shares_(PrototypeShares(config.head.prototypes, config.swav.power_law_exponent)
                            .to(device_->where())) {
  communicators_ = {&world_, &norm_group_};
  if (Sharded(config)) {
    const ShardedOptions groups = ShardGroups(config, gang);
    communicators_.insert({groups.gathers, groups.reductions, groups.replicas});
  }
  for (Communicator* communicator : communicators_) communicator->SetTrace(trace_);
  executor_.SetTrace(*trace_);
  if (config.optim.ema_decay > 0) mean_.emplace(parameters_, config.optim.ema_decay);
  if (config.precision == Precision::kFp16) loss_scale_.emplace(config.loss_scale);
  const SwavConfig& swav = config.swav;
  if (swav.queue_length > 0)
    queue_.emplace(swav.assign_views, swav.queue_length, config.head.output_dim, device_->where());
}

StepReport TrainStep::Run(const Batch& batch) {
  const TraceScope whole(trace_.get(), TraceTrack::kTraining, "step", "step");
  StepReport report;
  report.step = next_step_;
  const StepRates rates = RatesAt(config_.optim, next_step_);
  report.learning_rate = rates.learning_rate;
  PhaseSeconds& seconds = report.phases;
  PhaseClock clock(*device_, [this] { return BlockedSeconds(); });
  const std::vector<std::vector<at::Tensor>> inputs = Augment(batch, seconds, clock);
  TraceSequence phases(*trace_, TraceTrack::kTraining, "phase");
  phases.Next("forward");

  const size_t prototypes_unit = network_.chain.size();
  placement_->Acquire(prototypes_unit, std::nullopt);
  for (NamedTensor& prototypes : network_.prototypes) NormaliseRows(prototypes.tensor);
  placement_->Store(prototypes_unit);
  placement_->ZeroGradients();
  const at::Tensor features = ForwardParts(batch, inputs).requires_grad_();  // [views, samples, D]
  clock.Lap(seconds.forward);
  phases.Next("loss");

  const double temperature =
      ValueAt(config_.optim.schedules.temperature, next_step_, config_.swav.temperature);
  std::vector<Codes> codes;
  at::Tensor loss = at::zeros({}, features.options().requires_grad(false));
  placement_->BeginGradients(prototypes_unit);
  for (const NamedTensor& prototypes : network_.prototypes) {
    const at::Tensor scores = at::matmul(features, prototypes.tensor.t());  // [views, samples, K]
    codes.push_back(AssignCodes(scores.detach(), prototypes.tensor.detach()));
    if (next_step_ < config_.swav.hard_code_steps)
      codes.back().codes = HardCodes(codes.back().codes);
    loss = loss + SwavLoss(scores, codes.back().codes, temperature);
  }
  if (codes.size() > 1) loss = loss / static_cast<double>(codes.size());
  report.loss_scale = loss_scale_ ? loss_scale_->value() : 1;
  torch::autograd::backward({loss_scale_ ? loss * report.loss_scale : loss});
  if (PrototypesFrozen()) {
    for (const NamedTensor& prototypes : network_.prototypes)
      prototypes.tensor.mutable_grad().zero_();
  }
  placement_->GradientsDone(prototypes_unit, /*last=*/true);
  placement_->Release(prototypes_unit);
  clock.Lap(seconds.loss);
  phases.Next("backward");

  BackwardParts(batch, inputs, features.grad());
  placement_->FinishGradients();
  clock.Lap(seconds.backward);
  phases.Next("optimizer");

  if (loss_scale_) loss_scale_->Unscale(parameters_);
  report.gradient_norm = GradientNorm(parameters_, SumsOver(*placement_));
  const double own_loss = loss.item<double>();
  for (const Codes& layer : codes)
    report.sinkhorn_residual = std::max(report.sinkhorn_residual, layer.residual.item<double>());
  const at::Tensor assigned = features.detach().narrow(0, 0, config_.swav.assign_views);
  const bool finite = std::isfinite(own_loss) && std::isfinite(report.gradient_norm);
  const int64_t announcement = announcement_;
  const StepHealth health = GatherHealth({own_loss, finite, stop_vote_, TraceVote(),
                                          announcement > last_announced_ ? announcement : 0},
                                         codes.front().codes, assigned, prototype_shares_, world_);
  if (health.all_finite) {
    if (config_.optim.clip_norm > 0)
      ClipGradients(parameters_, report.gradient_norm, config_.optim.clip_norm);
    optimizer_->Step(rates, Frozen());
    placement_->WeightsUpdated();
    if (mean_) mean_->Update();
    executor_.CommitStatistics();
    if (QueueActive()) queue_->Push(assigned, world_);
  }
  if (loss_scale_) {
    report.overflow = !health.all_finite && std::isfinite(health.loss) && loss_scale_->can_shrink();
    loss_scale_->Update(health.all_finite);
  }
  clock.Lap(seconds.optimizer);
  seconds.communication = clock.Read();

  report.stop_requested = health.stop_requested;
  if (health.trace.number > last_trace_) {
    report.trace = health.trace;
    last_trace_ = health.trace.number;
  }
  if (health.announced > last_announced_) report.announced = last_announced_ = health.announced;
  report.skipped = !health.all_finite;
  // Reduced gradients are everybody's: they tell nothing where the losses do.
  report.own_finite =
      std::isfinite(health.loss) ? finite || report.overflow : std::isfinite(own_loss);
  report.loss = health.loss;
  report.prototypes_used_ratio = health.prototypes_used_ratio;
  report.assignment_entropy_nats = health.assignment_entropy_nats;
  report.marginal_kl_nats = health.marginal_kl_nats;
  report.top_prototype_share = health.top_prototype_share;
  report.feature_std = health.feature_std;
  if (queue_) {
    report.queue_fill_ratio =
        static_cast<double>(queue_->filled()) / static_cast<double>(config_.swav.queue_length);
    report.queue_age_steps = std::ceil(static_cast<double>(queue_->filled()) /
                                       static_cast<double>(config_.global_batch));
  }
  const DeviceMemory memory = device_->memory();
  report.device_used_bytes = memory.used_bytes;
  report.device_peak_bytes = memory.peak_bytes;
  report.images = batch.crops[0].samples;
  report.flops = network_.flops_per_sample * batch.crops[0].samples;
  trace_->SetStep(++next_step_);
  return report;
}

void TrainStep::RequestTrace(TraceRequest request) {
  absl::MutexLock lock(&trace_mu_);
  if (request.number > trace_request_.number) trace_request_ = request;
}

void TrainStep::Announce(int64_t number) {
  int64_t known = announcement_;
  while (number > known && !announcement_.compare_exchange_weak(known, number)) {
  }
}

TraceRequest TrainStep::TraceVote() const {
  absl::MutexLock lock(&trace_mu_);
  return trace_request_.number > last_trace_ ? trace_request_ : TraceRequest{};
}

std::vector<StateTensor> TrainStep::SharedState() const {
  std::vector<NamedTensor> tensors;
  const auto append = [&](const std::vector<NamedTensor>& more) {
    tensors.insert(tensors.end(), more.begin(), more.end());
  };
  for (const OptimParameter& p : parameters_) tensors.push_back({p.name, p.tensor});
  append(optimizer_->State());
  if (mean_) append(mean_->State());
  if (loss_scale_) append(loss_scale_->State());
  std::vector<StateTensor> state = Sharded(config_) ? StateOfPieces(tensors) : HeldWhole(tensors);
  if (queue_) state.push_back(HeldWhole({"queue/features", queue_->rows()}));
  return state;
}

// Names are a parameter's, or "<what>/<parameter>": then a scalar is every rank's own, and anything
// else lies on the ranks as the parameter does.
std::vector<StateTensor> TrainStep::StateOfPieces(const std::vector<NamedTensor>& tensors) const {
  std::map<std::string, size_t> parameter_of;
  for (size_t i = 0; i < parameters_.size(); ++i) parameter_of.emplace(parameters_[i].name, i);
  std::vector<StateTensor> state;
  for (const NamedTensor& t : tensors) {
    const auto found = parameter_of.find(t.name.substr(t.name.find('/') + 1));
    if (t.tensor.dim() == 0 || found == parameter_of.end()) {
      state.push_back(HeldWhole(t));
      continue;
    }
    const size_t parameter = found->second;
    const at::Tensor piece = t.tensor.detach();
    state.push_back({t.name, shapes_[parameter], piece.scalar_type(),
                     [this, parameter, piece] { return placement_->Whole(parameter, piece); },
                     [this, parameter, piece](const at::Tensor& whole) {
                       placement_->CopyPiece(parameter, whole, piece);
                     }});
  }
  return state;
}

// [part][resolution]: the samples of a part, of all views.
std::vector<std::vector<at::Tensor>> TrainStep::Augment(const Batch& batch, PhaseSeconds& seconds,
                                                        PhaseClock& clock) const {
  std::vector<std::vector<at::Tensor>> inputs(static_cast<size_t>(config_.accumulation_steps));
  uint32_t first_crop = 0;
  TraceSequence phases(*trace_, TraceTrack::kTraining, "phase");
  for (const CropTensor& crop : batch.crops) {
    phases.Next("copy");
    const at::Tensor pixels =
        device_->Stage(crop.pixels).view({crop.views, crop.samples, crop.size, crop.size, 3});
    clock.Lap(seconds.copy);
    phases.Next("augment");
    const int64_t samples = crop.samples / config_.accumulation_steps;
    for (size_t part = 0; part < inputs.size(); ++part) {
      const int64_t first = static_cast<int64_t>(part) * samples;
      std::vector<CropPhotometry> draws;
      for (int view = 0; view < crop.views; ++view) {
        for (int64_t s = first; s < first + samples; ++s) {
          const auto sample = static_cast<uint64_t>(batch.first_sample + s);
          draws.push_back(DrawPhotometry(config_.photometry, config_.seed, sample,
                                         first_crop + static_cast<uint32_t>(view)));
        }
      }
      const at::Tensor own = pixels.narrow(1, first, samples).flatten(0, 1);
      inputs[part].push_back(
          ApplyPhotometry(own, draws, config_.photometry).to(ActivationType(config_.precision)));
    }
    first_crop += static_cast<uint32_t>(crop.views);
    clock.Lap(seconds.augment);
  }
  return inputs;
}

// Codes of the first assign_views views, over the batch and, once it is full, the queue.
Codes TrainStep::AssignCodes(const at::Tensor& scores, const at::Tensor& prototypes) const {
  const TraceScope span(trace_.get(), TraceTrack::kTraining, "sinkhorn", "loss");
  const SwavConfig& swav = config_.swav;
  const SinkhornOptions options = {
      ValueAt(config_.optim.schedules.epsilon, next_step_, swav.epsilon), swav.sinkhorn_iterations,
      swav.sinkhorn_domain, swav.power_law_exponent};
  const at::Tensor own = scores.narrow(0, 0, swav.assign_views);
  if (!QueueActive() || !queue_->full()) return Sinkhorn(own, options, world_);
  const at::Tensor queued = at::matmul(queue_->Share(world_.rank(), world_.size()), prototypes.t());
  Codes all = Sinkhorn(at::cat({queued, own}, 1), options, world_);
  return {all.codes.narrow(1, queued.size(1), own.size(1)), all.residual};
}

std::vector<bool> TrainStep::Frozen() const {
  std::vector<bool> frozen(parameters_.size(), false);
  if (PrototypesFrozen())
    std::fill(frozen.end() - static_cast<int64_t>(network_.prototypes.size()), frozen.end(), true);
  return frozen;
}

// [views, samples, D], with what the backward pass needs, unless the batch has several parts: then
// each goes through once more, so that one part's activations are there at a time.
at::Tensor TrainStep::ForwardParts(const Batch& batch,
                                   const std::vector<std::vector<at::Tensor>>& inputs) {
  if (inputs.size() == 1) return ByView(executor_.Forward(inputs.front()), batch);
  std::vector<at::Tensor> features;
  for (size_t part = 0; part < inputs.size(); ++part) {
    features.push_back(
        ByView(executor_.Forward(inputs[part], part, WalkMode::kStatisticsOnly), batch));
  }
  return at::cat(features, 1);
}

// `gradient`: of the loss by ForwardParts's features.
void TrainStep::BackwardParts(const Batch& batch,
                              const std::vector<std::vector<at::Tensor>>& inputs,
                              const at::Tensor& gradient) {
  const std::vector<at::Tensor> gradients = gradient.chunk(static_cast<int64_t>(inputs.size()), 1);
  for (size_t part = 0; part < inputs.size(); ++part) {
    if (inputs.size() > 1) executor_.Forward(inputs[part], part, WalkMode::kReplay);
    executor_.Backward(ByResolution(gradients[part], batch), part);
  }
}

double TrainStep::BlockedSeconds() const {
  double seconds = 0;
  for (const Communicator* communicator : communicators_)
    seconds += communicator->blocked_seconds();
  return seconds;
}

}  // namespace seer::engine
