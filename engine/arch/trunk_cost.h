// What a trunk costs, and the counter that the designs of all families fill it with: arithmetic
// over convolutions, no torch.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

namespace seer::engine {

// Of convolutions or linear layers, their norm layers and squeeze-and-excitation. "Numbers" of an
// image are in the chain's type: of 4 bytes, or 2 in bf16 and fp16.
struct SegmentCost {
  int64_t parameters = 0;            // weights, scales and biases
  int64_t largest_weight = 0;        // numbers of the largest convolution's weight
  int64_t layers = 0;                // convolutions and linear layers
  int64_t norms = 0;                 // norm layers
  int64_t norm_channels = 0;         // channels of all norm layers
  double flops_per_image = 0;        // multiply-adds of one forward pass at one size x size crop
  double grouped_per_image = 0;      // those of them that convolutions in groups do
  double activations_per_image = 0;  // outputs of the convolutions, numbers
  double input_per_image = 0;        // numbers of the segment's input
  double output_per_image = 0;       // numbers of its output
  // What a pass keeps for the backward pass besides the input, the output included, numbers:
  // convolutions' outputs, which norm layers keep, and those of relus and of the product of
  // squeeze-and-excitation, which convolutions keep.
  double kept_per_image = 0;
  double index_bytes_per_image = 0;  // kept besides: where a max pool took its outputs from
  double gradients_per_image = 0;    // most of the gradients that a backward pass holds at a time
                                     // besides those of input and output, numbers
};

// Of a whole trunk, without head and classifier. The sums of its segments, but that the input is
// the first one's, the output the last one's, and the largest weight and gradients the largest
// ones'.
struct TrunkCost : SegmentCost {
  std::vector<SegmentCost> segments;  // in the chain's order, the average pool the last
};

// Adds up what convolutions without bias, with their norm layers, cost. Begin comes first.
class CostCounter {
 public:
  // What follows belongs to the next segment, whose input has `channels` x `size` x `size` numbers.
  void Begin(int64_t channels, int64_t size) {
    SegmentCost segment;
    segment.input_per_image = static_cast<double>(channels * size * size);
    if (cost_.segments.empty()) cost_.input_per_image = segment.input_per_image;
    cost_.segments.push_back(segment);
  }
  // kernel x kernel with `size` x `size` outputs, its norm layer, and a relu if `relu`: without one
  // nobody keeps the norm layer's output.
  void Conv(int64_t in, int64_t out, int64_t kernel, int64_t groups, int64_t size,
            bool relu = true) {
    const int64_t weights = in / groups * out * kernel * kernel;
    const auto outputs = static_cast<double>(out * size * size);
    SegmentCost more;
    more.parameters = weights + 2 * out;
    more.largest_weight = weights;
    more.layers = more.norms = 1;
    more.norm_channels = out;
    more.flops_per_image = static_cast<double>(weights) * static_cast<double>(size * size);
    more.grouped_per_image = groups > 1 ? more.flops_per_image : 0;
    more.activations_per_image = outputs;
    more.kept_per_image = relu ? 2 * outputs : outputs;
    Add(more);
  }
  // Two 1 x 1 convolutions with bias on the mean over pixels; the product has `size` x `size`.
  void Squeeze(int64_t width, int64_t squeezed, int64_t size) {
    SegmentCost more;
    more.parameters = 2 * width * squeezed + width + squeezed;
    more.largest_weight = width * squeezed;
    more.layers = 2;
    more.flops_per_image = static_cast<double>(2 * width * squeezed);
    more.activations_per_image = static_cast<double>(width + squeezed);
    more.kept_per_image = static_cast<double>(width * size * size + 2 * width + squeezed);
    Add(more);
  }
  // 3 x 3 with stride 2, on `width` x `in_size` x `in_size`.
  void MaxPool(int64_t width, int64_t in_size, int64_t size) {
    SegmentCost more;
    more.kept_per_image = static_cast<double>(width * size * size);
    more.index_bytes_per_image =
        static_cast<double>(width * size * size * int64_t{sizeof(int64_t)});
    Add(more);
    Gradients(2 * width * in_size * in_size);  // the convolution's, and after its relu
  }
  // Of a bottleneck: the relu's is there while the norm and the convolution before it run. Numbers
  // of the block's input and output, of the first convolution's output and of the second's; with
  // `squeeze` the product and both its factors have one.
  void BottleneckGradients(int64_t in, int64_t first, int64_t second, int64_t out, bool squeeze) {
    Gradients(2 * out);
    Gradients(out + (squeeze ? 3 : 2) * second);
    Gradients(out + 2 * first);
    Gradients(out + first + in);
  }
  void Gradients(int64_t numbers) {
    for (SegmentCost* part : Parts())
      part->gradients_per_image = std::max(part->gradients_per_image, static_cast<double>(numbers));
  }
  void End(int64_t channels, int64_t size) {  // of the segment, with its output
    for (SegmentCost* part : Parts())
      part->output_per_image = static_cast<double>(channels * size * size);
  }
  // The trunk's last segment: the mean over the pixels of its input.
  void Pool(int64_t channels, int64_t size) {
    Begin(channels, size);
    End(channels, 1);
  }
  const TrunkCost& cost() const { return cost_; }

 private:
  std::vector<SegmentCost*> Parts() { return {&cost_, &cost_.segments.back()}; }
  void Add(const SegmentCost& more) {
    for (SegmentCost* part : Parts()) {
      part->parameters += more.parameters;
      part->largest_weight = std::max(part->largest_weight, more.largest_weight);
      part->layers += more.layers;
      part->norms += more.norms;
      part->norm_channels += more.norm_channels;
      part->flops_per_image += more.flops_per_image;
      part->grouped_per_image += more.grouped_per_image;
      part->activations_per_image += more.activations_per_image;
      part->kept_per_image += more.kept_per_image;
      part->index_bytes_per_image += more.index_bytes_per_image;
    }
  }
  TrunkCost cost_;
};

}  // namespace seer::engine
