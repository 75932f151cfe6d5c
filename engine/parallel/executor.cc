#include "engine/parallel/executor.h"

#include <utility>

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>

#include "common/base/check.h"

namespace seer::engine {

ChainExecutor::ChainExecutor(Chain& chain, std::vector<bool> recompute)
    : chain_(chain), recompute_(std::move(recompute)), kept_(chain.size()) {
  SEER_CHECK(recompute_.size() == chain_.size())
      << recompute_.size() << " choices for " << chain_.size() << " segments";
}

std::vector<at::Tensor> ChainExecutor::Forward(const std::vector<at::Tensor>& inputs) {
  for (auto& segment : kept_) segment = std::vector<Kept>(inputs.size());
  std::vector<at::Tensor> outputs;
  for (size_t r = 0; r < inputs.size(); ++r) {
    at::Tensor x = inputs[r];
    for (size_t i = 0; i < chain_.size(); ++i) {
      Kept& kept = kept_[i][r];
      kept.input = i == 0 ? x : x.requires_grad_();
      Pass pass{PassMode::kTrain, &kept.memory};
      if (recompute_[i]) {
        const at::NoGradGuard no_grad;
        x = chain_[i]->Forward(kept.input, pass);
      } else {
        kept.output = chain_[i]->Forward(kept.input, pass);
        x = kept.output.detach();
      }
    }
    outputs.push_back(x);
  }
  return outputs;
}

void ChainExecutor::Backward(std::vector<at::Tensor> gradients,
                             const std::function<void(size_t)>& segment_done) {
  for (size_t i = chain_.size(); i-- > 0;) {
    for (size_t r = 0; r < gradients.size(); ++r) {
      Kept& kept = kept_[i][r];
      if (recompute_[i]) {
        kept.memory.cursor = 0;
        Pass pass{PassMode::kRecompute, &kept.memory};
        kept.output = chain_[i]->Forward(kept.input, pass);
      }
      // A first segment without parameters has nothing to do.
      if (kept.output.requires_grad()) torch::autograd::backward({kept.output}, {gradients[r]});
      gradients[r] = kept.input.grad();
      kept.input.reset();
      kept.output.reset();
    }
    segment_done(i);
  }
}

void ChainExecutor::CommitStatistics() {
  const size_t resolutions = kept_.empty() ? 0 : kept_.front().size();
  for (size_t r = 0; r < resolutions; ++r) {
    for (size_t i = 0; i < chain_.size(); ++i)
      chain_[i]->UpdateRunningStatistics(kept_[i][r].memory);
  }
}

at::Tensor ChainExecutor::Evaluate(const at::Tensor& input) {
  const at::NoGradGuard no_grad;
  Pass pass;
  at::Tensor x = input;
  for (const auto& segment : chain_) x = segment->Forward(x, pass);
  return x;
}

}  // namespace seer::engine
