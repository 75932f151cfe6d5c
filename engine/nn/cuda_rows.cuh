// The type and width of pack that a kernel over rows of channels is made for. For *.cu files.
#pragma once

#include "engine/device/cuda_numbers.cuh"
#include "engine/nn/cuda_rows.h"

namespace seer::engine::cuda {

// call.operator()<T, pack width>().
template <typename Call>
void ForType(const ChannelRows& rows, const Call& call) {
  const auto with_width = [&]<typename T>() {
    if (rows.packed) {
      call.template operator()<T, kPackWidth<T>>();
    } else {
      call.template operator()<T, 1>();
    }
  };
  switch (rows.type) {
    case NumberType::kFloat:
      return with_width.template operator()<float>();
    case NumberType::kBfloat16:
      return with_width.template operator()<Bfloat16>();
    case NumberType::kFloat16:
      return with_width.template operator()<Float16>();
  }
}

}  // namespace seer::engine::cuda
