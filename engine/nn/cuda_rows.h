// What kernels over rows of channels are told of them. Free of torch.
#pragma once

#include <cstdint>

namespace seer::engine::cuda {

enum class NumberType { kFloat, kBfloat16, kFloat16 };

// x as [rows, channels] without gaps, at least one of each.
struct ChannelRows {
  int64_t rows = 0, channels = 0;
  NumberType type = NumberType::kFloat;
  bool packed = false;     // channels and all pointers of the call are multiples of 16 bytes
  void* stream = nullptr;  // a cudaStream_t
};

}  // namespace seer::engine::cuda
