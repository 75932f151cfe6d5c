// What a trunk costs, and the counter that the designs of all families fill it with: arithmetic
// over convolutions, no torch.
#pragma once

#include <cstdint>
#include <vector>

namespace seer::engine {

// Of convolutions, their norm layers and squeeze-and-excitation.
struct SegmentCost {
  int64_t parameters = 0;            // weights, scales and biases
  double flops_per_image = 0;        // multiply-adds of one forward pass at one size x size crop
  double activations_per_image = 0;  // outputs of the convolutions, numbers
  double input_per_image = 0;        // numbers of the segment's input
};

// Of a whole trunk, without head and classifier.
struct TrunkCost : SegmentCost {
  std::vector<SegmentCost> segments;  // in the chain's order, the average pool the last
};

// Adds up what convolutions without bias, with their norm layers, cost. Begin comes first.
class CostCounter {
 public:
  // What follows belongs to the next segment, whose input has `channels` x `size` x `size` numbers.
  void Begin(int64_t channels, int64_t size) {
    cost_.segments.push_back({0, 0, 0, static_cast<double>(channels * size * size)});
    cost_.input_per_image = cost_.segments.front().input_per_image;
  }
  // kernel x kernel with `size` x `size` outputs.
  void Conv(int64_t in, int64_t out, int64_t kernel, int64_t groups, int64_t size) {
    const int64_t weights = in / groups * out * kernel * kernel;
    Add(weights + 2 * out, static_cast<double>(weights) * static_cast<double>(size * size),
        static_cast<double>(out * size * size));
  }
  // Two 1 x 1 convolutions with bias on the mean over pixels.
  void Squeeze(int64_t width, int64_t squeezed) {
    Add(2 * width * squeezed + width + squeezed, static_cast<double>(2 * width * squeezed),
        static_cast<double>(width + squeezed));
  }
  const TrunkCost& cost() const { return cost_; }

 private:
  void Add(int64_t parameters, double flops, double activations) {
    for (SegmentCost* part : {static_cast<SegmentCost*>(&cost_), &cost_.segments.back()}) {
      part->parameters += parameters;
      part->flops_per_image += flops;
      part->activations_per_image += activations;
    }
  }
  TrunkCost cost_;
};

}  // namespace seer::engine
