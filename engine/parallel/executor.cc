#include "engine/parallel/executor.h"

#include <optional>
#include <utility>

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"

namespace seer::engine {
namespace {

std::optional<size_t> After(size_t segment, size_t count) {
  return segment + 1 < count ? std::optional<size_t>(segment + 1) : std::nullopt;
}
std::optional<size_t> Before(size_t segment) {
  return segment > 0 ? std::optional<size_t>(segment - 1) : std::nullopt;
}

// The statistics of several passes over parts of a batch as those of one pass over all of it.
NormMemory Pooled(const std::vector<const NormMemory*>& parts) {
  NormMemory pooled = *parts.front();
  if (parts.size() == 1) return pooled;
  for (size_t n = 0; n < pooled.entries.size(); ++n) {
    at::Tensor count = at::zeros_like(pooled.entries[n].count);  // double, as all of the sums
    for (const NormMemory* part : parts) count += part->entries[n].count;
    at::Tensor mean = at::zeros_like(pooled.entries[n].mean, at::kDouble);
    for (const NormMemory* part : parts)
      mean += part->entries[n].mean * (part->entries[n].count / count);
    at::Tensor variance = at::zeros_like(mean);
    for (const NormMemory* part : parts) {
      const NormStatistics& own = part->entries[n];
      variance += (own.variance + (own.mean - mean).square()) * (own.count / count);
    }
    pooled.entries[n] = {mean.to(at::kFloat), variance.to(at::kFloat), count};
  }
  return pooled;
}

}  // namespace

ChainExecutor::ChainExecutor(Chain& chain, UnitWalk& weights, std::vector<bool> recompute,
                             size_t parts)
    : chain_(chain),
      weights_(weights),
      recompute_(std::move(recompute)),
      parts_(parts, PartKept(chain.size())) {
  SEER_CHECK(recompute_.size() == chain_.size())
      << recompute_.size() << " choices for " << chain_.size() << " segments";
}

TraceScope ChainExecutor::Span(const char* what, size_t segment, size_t resolution) const {
  const bool on = trace_ != nullptr && trace_->on();
  return TraceScope(trace_, TraceTrack::kTraining,
                    on ? absl::StrCat(what, " ", chain_[segment]->name()) : "", what,
                    {.resolution = edges_[resolution]});
}

at::Tensor ChainExecutor::ForwardSegment(size_t segment, const at::Tensor& input, Kept& kept,
                                         WalkMode mode) {
  if (mode == WalkMode::kReplay)
    kept.memory.cursor = 0;
  else
    kept.memory = {};
  Pass pass{mode == WalkMode::kReplay ? PassMode::kRecompute : PassMode::kTrain, &kept.memory};
  if (mode == WalkMode::kStatisticsOnly || recompute_[segment]) {
    const at::NoGradGuard no_grad;
    if (mode != WalkMode::kStatisticsOnly) kept.input = input;
    return chain_[segment]->Forward(input, pass);
  }
  kept.input = input;
  kept.output = chain_[segment]->Forward(input, pass);
  return kept.output.detach();
}

std::vector<at::Tensor> ChainExecutor::Forward(const std::vector<at::Tensor>& inputs, size_t part,
                                               WalkMode mode) {
  std::vector<at::Tensor> x = inputs;
  edges_.clear();
  for (const at::Tensor& input : inputs) edges_.push_back(input.size(-1));
  for (size_t i = 0; i < chain_.size(); ++i) {
    weights_.Acquire(i, After(i, chain_.size()));
    std::vector<Kept>& kept = parts_[part][i];
    kept.resize(inputs.size());
    for (size_t r = 0; r < x.size(); ++r) {
      if (i > 0) x[r].requires_grad_();
      const TraceScope span = Span(mode == WalkMode::kReplay ? "recompute" : "forward", i, r);
      x[r] = ForwardSegment(i, x[r], kept[r], mode);
    }
    // A backward pass begins with the last one.
    if (mode == WalkMode::kStatisticsOnly || i + 1 < chain_.size()) weights_.Release(i);
  }
  return x;
}

void ChainExecutor::Backward(std::vector<at::Tensor> gradients, size_t part) {
  for (size_t i = chain_.size(); i-- > 0;) {
    weights_.Acquire(i, Before(i));
    weights_.BeginGradients(i);
    for (size_t r = 0; r < gradients.size(); ++r) {
      Kept& kept = parts_[part][i][r];
      if (recompute_[i]) {
        const TraceScope span = Span("recompute", i, r);
        kept.memory.cursor = 0;
        Pass pass{PassMode::kRecompute, &kept.memory};
        kept.output = chain_[i]->Forward(kept.input, pass);
      }
      const TraceScope span = Span("backward", i, r);
      // A first segment without parameters has nothing to do.
      if (kept.output.requires_grad()) torch::autograd::backward({kept.output}, {gradients[r]});
      gradients[r] = kept.input.grad();
      kept.input.reset();
      kept.output.reset();
    }
    weights_.GradientsDone(i, /*last=*/part + 1 == parts_.size());
    weights_.Release(i);
  }
}

void ChainExecutor::CommitStatistics() {
  const size_t resolutions = chain_.empty() ? 0 : parts_.front().front().size();
  for (size_t r = 0; r < resolutions; ++r) {
    RunningUpdate update;
    for (size_t i = 0; i < chain_.size(); ++i) {
      std::vector<const NormMemory*> memories;
      for (const PartKept& part : parts_) memories.push_back(&part[i][r].memory);
      chain_[i]->AppendRunning(Pooled(memories), update);
    }
    update.Apply();
  }
}

at::Tensor ChainExecutor::Evaluate(const at::Tensor& input) {
  const at::NoGradGuard no_grad;
  Pass pass;
  at::Tensor x = input;
  for (size_t i = 0; i < chain_.size(); ++i) {
    weights_.Acquire(i, After(i, chain_.size()));
    x = chain_[i]->Forward(x, pass);
    weights_.Release(i);
  }
  return x;
}

}  // namespace seer::engine
