#include "dataservice/decode/resample.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "dataservice/decode/resample_kernels.h"

namespace seer::dataservice {
namespace {

constexpr double kEdgeSlack = 1e-6;  // pixels; what scaling a box by n/8 may cost in rounding

// The filter of one axis. Output i is sum over k < taps of weights[i * taps + k] * input[starts[i]
// + k] / 2^14.
struct Axis {
  int first = 0;   // first input pixel that the box touches; starts count from it
  int length = 0;  // how many it touches
  int taps = 0;    // even; the surplus has weight 0, at most one lies past `length`
};

// Triangle filter over [origin, origin + extent) of `limit` input pixels.
Axis MakeAxis(double origin, double extent, int limit, int size, std::vector<int>& starts,
              std::vector<int16_t>& weights) {
  Axis axis;
  axis.first = std::clamp(static_cast<int>(std::floor(origin + kEdgeSlack)), 0, limit - 1);
  const int end =
      std::clamp(static_cast<int>(std::ceil(origin + extent - kEdgeSlack)), axis.first + 1, limit);
  axis.length = end - axis.first;
  const double scale = extent / size;
  const double support = std::max(scale, 1.0);
  const auto centre_of = [&](int i) { return origin - axis.first + (i + 0.5) * scale; };
  const auto low_of = [&](double centre) {
    return std::clamp(static_cast<int>(centre - support + 0.5), 0, axis.length - 1);
  };
  const auto high_of = [&](double centre, int low) {
    return std::clamp(static_cast<int>(centre + support + 0.5), low + 1, axis.length);
  };
  // As many taps as some output has, often two fewer than any scale so large might need.
  int most = 1;
  for (int i = 0; i < size; ++i) {
    const double centre = centre_of(i);
    const int low = low_of(centre);
    most = std::max(most, high_of(centre, low) - low);
  }
  axis.taps = (most + 1) / 2 * 2;
  starts.assign(size, 0);
  weights.assign(static_cast<size_t>(size) * axis.taps, 0);
  std::vector<double> exact(axis.taps);
  for (int i = 0; i < size; ++i) {
    const double centre = centre_of(i);
    const int low = low_of(centre), high = high_of(centre, low);
    double sum = 0;
    for (int k = 0; k < high - low; ++k) {
      exact[k] = std::max(0.0, 1.0 - std::abs((low + k + 0.5 - centre) / support));
      sum += exact[k];
    }
    // The window ends inside the box wherever it fits, so that only a box narrower than the taps is
    // read past.
    const int start = std::max(0, std::min(low, axis.length - axis.taps));
    // Weights are rounded so that they add up to exactly one: a flat image stays flat.
    int16_t* out = weights.data() + static_cast<size_t>(i) * axis.taps + (low - start);
    int rest = kWeightOne;
    int largest = 0;
    for (int k = 0; k < high - low; ++k) {
      out[k] = static_cast<int16_t>(sum > 0 ? std::lrint(exact[k] / sum * kWeightOne) : 0);
      rest -= out[k];
      if (out[k] > out[largest]) largest = k;
    }
    out[largest] = static_cast<int16_t>(out[largest] + rest);
    starts[i] = start;
  }
  return axis;
}

absl::Status CheckCrop(const Image& image, const CropBox& box, int width, int height) {
  const bool inside = box.width > 0 && box.height > 0 && box.x >= -kEdgeSlack &&
                      box.y >= -kEdgeSlack && box.x + box.width <= image.width + kEdgeSlack &&
                      box.y + box.height <= image.height + kEdgeSlack;
  if (!inside) {  // also if an edge is not a number
    return Error(absl::StatusCode::kInvalidArgument, reason::kOutOfRange,
                 absl::StrCat("crop box x=", box.x, " y=", box.y, " width=", box.width,
                              " height=", box.height, " is empty or reaches outside the ",
                              image.width, "x", image.height, " image"))
        .Field("box");
  }
  const int size = width >= 1 && width <= 16384 ? height : width;
  if (size < 1 || size > 16384) {
    return Error(absl::StatusCode::kInvalidArgument, reason::kOutOfRange,
                 absl::StrCat("crop size ", size, " is outside [1, 16384]"))
        .Field("size");
  }
  return absl::OkStatus();
}

absl::Status Resize(const Image& image, const CropBox& box, int width, int height, uint8_t* out_hwc,
                    ResampleScratch* scratch, const ResampleKernels& kernels) {
  SEER_RETURN_IF_ERROR(CheckCrop(image, box, width, height));
  ResampleScratch own;
  ResampleScratch& s = scratch != nullptr ? *scratch : own;
  const Axis x = MakeAxis(box.x, box.width, image.width, width, s.starts_x, s.weights_x);
  const Axis y = MakeAxis(box.y, box.height, image.height, height, s.starts_y, s.weights_y);
  const int row_bytes = x.length * 3;
  // The kernel of the columns reads whole vectors and a surplus tap: the zeros it meets there have
  // weight 0.
  const size_t stride = static_cast<size_t>(row_bytes) + kRowPadding;
  s.rows.resize(stride * 2);
  const size_t image_stride = static_cast<size_t>(image.width) * 3;
  const uint8_t* input =
      image.rgb.data() + y.first * image_stride + static_cast<size_t>(x.first) * 3;
  // Two rows at a time, so that the columns' kernel has both in the two halves of a vector, and
  // both stay in cache.
  for (int i = 0; i < height; i += 2) {
    const int rows = std::min(2, height - i);
    for (int r = 0; r < rows; ++r) {
      // A surplus tap lies past the box, perhaps past the image: it is dropped, not read.
      const int taps = std::min(y.taps, y.length - s.starts_y[i + r]);
      kernels.filter_rows(input + s.starts_y[i + r] * image_stride, image_stride, row_bytes,
                          s.weights_y.data() + static_cast<size_t>(i + r) * y.taps, taps,
                          s.rows.data() + r * stride);
      std::memset(s.rows.data() + r * stride + row_bytes, 0, kRowPadding);
    }
    uint8_t* out0 = out_hwc + static_cast<size_t>(i) * width * 3;
    uint8_t* out1 = rows == 2 ? out0 + static_cast<size_t>(width) * 3 : out0;
    const uint8_t* in1 = rows == 2 ? s.rows.data() + stride : s.rows.data();
    kernels.filter_columns(s.rows.data(), in1, s.starts_x.data(), s.weights_x.data(), x.taps, width,
                           box.flip, out0, out1);
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ResizeCrop(const Image& image, const CropBox& box, int size, uint8_t* out_hwc,
                        ResampleScratch* scratch) {
  return Resize(image, box, size, size, out_hwc, scratch, BestResampleKernels());
}

absl::Status ResizeBox(const Image& image, const CropBox& box, int width, int height,
                       uint8_t* out_hwc, ResampleScratch* scratch) {
  return Resize(image, box, width, height, out_hwc, scratch, BestResampleKernels());
}

absl::Status internal::ResizeCropPortable(const Image& image, const CropBox& box, int size,
                                          uint8_t* out_hwc, ResampleScratch* scratch) {
  return Resize(image, box, size, size, out_hwc, scratch, PortableResampleKernels());
}

}  // namespace seer::dataservice
