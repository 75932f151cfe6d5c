// Grouped 3 x 3 convolutions on Hopper GPUs, as matrix products whose operands the copy engine
// gathers from the image: nothing is laid out in memory for them first. bfloat16 in and out, sums
// in float. Free of torch. Thread-safe; returns before the kernels have run. Throws
// std::runtime_error if one cannot be started.
#pragma once

#include <cstdint>

namespace seer::engine::cuda {

// Padding 1. Images are [images, height, width, channels], weights [channels, 3, 3, group_width]:
// as many channels out as in.
struct GroupedConv {
  int64_t images = 0, height = 0, width = 0;  // of the input, pixels
  int64_t channels = 0, group_width = 0;      // of input and output
  int64_t stride = 1;                         // 1 or 2
  void* stream = nullptr;                     // a cudaStream_t

  int64_t output_height() const { return (height - 1) / stride + 1; }
  int64_t output_width() const { return (width - 1) / stride + 1; }
};

// There are kernels for groups so wide, on the current device.
bool HopperConvolves(int64_t group_width);

// All pointers: multiples of 16 bytes.
void Convolve(const GroupedConv& conv, const void* x, const void* weight, void* y);
// dx out of dy.
void ConvolveBack(const GroupedConv& conv, const void* dy, const void* weight, void* dx);

// Floats that `partial` of the next call has to hold; 0: none.
int64_t WeightPartialSize(const GroupedConv& conv);
// dweight: float, in the weight's order. Sums run in an order that the shape fixes.
void WeightGradient(const GroupedConv& conv, const void* dy, const void* x, float* partial,
                    float* dweight);

}  // namespace seer::engine::cuda
