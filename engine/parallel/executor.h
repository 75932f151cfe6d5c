// Walks a chain of segments forward for every resolution and backward once for all of them. A
// segment keeps its graph from the forward to the backward pass, or, if it is to be recomputed, its
// input and norm statistics alone. A batch may go through in parts, one after the other
// (accumulation). Not thread-safe. One step at a time: for each part Forward and Backward, then
// CommitStatistics or nothing.
#pragma once

#include <vector>

#include <ATen/core/Tensor.h>

#include "engine/nn/segment.h"
#include "engine/parallel/placement.h"
#include "engine/trace/trace_recorder.h"

namespace seer::engine {

enum class WalkMode {
  kKeep,            // keeps what Backward needs
  kStatisticsOnly,  // keeps the norm statistics: Backward needs a kReplay first
  kReplay,          // the same pass again, with the same statistics; keeps what Backward needs
};

class ChainExecutor {
 public:
  // `chain` and `weights` must outlive this. recompute[i]: segment i is run again in the backward
  // pass.
  ChainExecutor(Chain& chain, UnitWalk& weights, std::vector<bool> recompute, size_t parts = 1);

  // From here on each segment's work on a resolution is a span, "forward NAME" and so on. Must
  // outlive this.
  void SetTrace(TraceRecorder& trace) { trace_ = &trace; }

  // One input a resolution (constants): [N, 3, H, W]; returns the outputs, [N, D] each, detached
  // from all graphs.
  std::vector<at::Tensor> Forward(const std::vector<at::Tensor>& inputs, size_t part = 0,
                                  WalkMode mode = WalkMode::kKeep);

  // `gradients`: of the loss by each output of Forward, same shapes. Adds to the gradients of the
  // parameters, from the last segment to the first. Frees what Forward kept but for the statistics.
  // The last part's comes last.
  void Backward(std::vector<at::Tensor> gradients, size_t part = 0);

  // Moves the running statistics by those of the last Forward, a resolution after the other; those
  // of all parts together count as one.
  void CommitStatistics();

  // Without gradients, with running statistics: [N, 3, H, W] -> [N, D].
  at::Tensor Evaluate(const at::Tensor& input);

 private:
  struct Kept {                // of one segment and resolution
    at::Tensor input, output;  // output: undefined if it is to be recomputed
    NormMemory memory;
  };
  using PartKept = std::vector<std::vector<Kept>>;  // [segment][resolution]

  at::Tensor ForwardSegment(size_t segment, const at::Tensor& input, Kept& kept, WalkMode mode);
  TraceScope Span(const char* what, size_t segment, size_t resolution) const;

  Chain& chain_;
  UnitWalk& weights_;
  const std::vector<bool> recompute_;
  std::vector<PartKept> parts_;
  TraceRecorder* trace_ = nullptr;
  std::vector<int64_t> edges_;  // of each resolution's crops, pixels
};

}  // namespace seer::engine
