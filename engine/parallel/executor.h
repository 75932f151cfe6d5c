// Walks a chain of segments forward for every resolution and backward once for all of them. A
// segment keeps its graph from the forward to the backward pass, or, if it is to be recomputed, its
// input and norm statistics alone. Not thread-safe.
// One step at a time: Forward, Backward, then CommitStatistics or nothing.
#pragma once

#include <functional>
#include <vector>

#include <ATen/core/Tensor.h>

#include "engine/nn/segment.h"

namespace seer::engine {

class ChainExecutor {
 public:
  // `chain` must outlive this. recompute[i]: segment i is run again in the backward pass.
  ChainExecutor(Chain& chain, std::vector<bool> recompute);

  // One input a resolution (constants): [N, 3, H, W]; returns the outputs, [N, D] each, detached
  // from all graphs.
  std::vector<at::Tensor> Forward(const std::vector<at::Tensor>& inputs);

  // `gradients`: of the loss by each output of Forward, same shapes. Adds to the gradients of the
  // parameters. Calls `segment_done(i)` once segment i has finished for all resolutions, from the
  // last segment to the first. Frees what Forward kept.
  void Backward(std::vector<at::Tensor> gradients, const std::function<void(size_t)>& segment_done);

  // Moves the running statistics by those of the last Forward, a resolution after the other.
  void CommitStatistics();

  // Without gradients, with running statistics: [N, 3, H, W] -> [N, D].
  at::Tensor Evaluate(const at::Tensor& input);

 private:
  struct Kept {                // of one segment and resolution
    at::Tensor input, output;  // output: undefined if it is to be recomputed
    NormMemory memory;
  };

  Chain& chain_;
  const std::vector<bool> recompute_;
  std::vector<std::vector<Kept>> kept_;  // [segment][resolution]
};

}  // namespace seer::engine
