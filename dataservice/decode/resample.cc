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

// Of what ColumnsFirst keeps between its passes.
constexpr int64_t kMostColumnBytes = int64_t{16} << 20;

// The filter of one axis. Output i is sum over k < taps of weights[i * taps + k] * input[starts[i]
// + k] / 2^14.
struct Axis {
  int first = 0;   // first input pixel that the box touches; starts count from it
  int length = 0;  // how many it touches
  int taps = 0;    // even; the surplus has weight 0, at most one lies past `length`
};

struct Bilinear {
  static constexpr double kSupport = 1;
  static double At(double x) { return std::max(0.0, 1.0 - std::abs(x)); }
};

struct Bicubic {
  static constexpr double kSupport = 2;
  static double At(double x) {
    constexpr double kA = -0.5;
    x = std::abs(x);
    if (x < 1) return ((kA + 2) * x - (kA + 3)) * x * x + 1;
    return x < 2 ? (((x - 5) * x + 8) * x - 4) * kA : 0;
  }
};

// `Filter` over [origin, origin + extent) of `limit` input pixels.
template <typename Filter>
Axis MakeAxis(double origin, double extent, int limit, int size, std::vector<int>& starts,
              std::vector<int16_t>& weights) {
  Axis axis;
  axis.first = std::clamp(static_cast<int>(std::floor(origin + kEdgeSlack)), 0, limit - 1);
  const int end =
      std::clamp(static_cast<int>(std::ceil(origin + extent - kEdgeSlack)), axis.first + 1, limit);
  axis.length = end - axis.first;
  const double scale = extent / size;
  const double stretch = std::max(scale, 1.0), support = Filter::kSupport * stretch;
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
      exact[k] = Filter::At((low + k + 0.5 - centre) / stretch);
      sum += exact[k];
    }
    // The window ends inside the box wherever it fits, so that only a box narrower than the taps is
    // read past.
    const int start = std::max(0, std::min(low, axis.length - axis.taps));
    // Weights are rounded so that they add up to exactly one: a flat image stays flat. Where the
    // box's edge cuts a cubic off, the largest is 9/8; 16 bits hold twice one.
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

// A box on its way to `width` x `height`.
struct Work {
  const uint8_t* input;  // the first pixel that the box touches
  size_t input_stride;
  Axis x, y;
  int width, height;
  bool flip;
  const ResampleKernels& kernels;
  ResampleScratch& scratch;
};

// Taps of output row i. A surplus tap lies past the box, perhaps past the image: it is dropped, not
// read.
int TapsOfRow(const Work& w, int i) {
  return std::min(w.y.taps, w.y.length - w.scratch.starts_y[static_cast<size_t>(i)]);
}

// The kernel of the columns reads whole vectors and a surplus tap: the zeros that it meets behind a
// row have weight 0.
size_t PaddedRow(const Work& w) { return static_cast<size_t>(w.x.length) * 3 + kRowPadding; }

// Filters the two padded rows in the scratch to out0 and out1; one of them if these are equal.
void FilterColumns(const Work& w, uint8_t* out0, uint8_t* out1) {
  const uint8_t* in0 = w.scratch.rows.data();
  const uint8_t* in1 = out1 == out0 ? in0 : in0 + PaddedRow(w);
  w.kernels.filter_columns(in0, in1, w.scratch.starts_x.data(), w.scratch.weights_x.data(),
                           w.x.taps, w.width, w.flip, out0, out1);
}

// Two rows at a time, so that the columns' kernel has both in the two halves of a vector, and both
// stay in cache.
void RowsFirst(const Work& w, uint8_t* out_hwc) {
  ResampleScratch& s = w.scratch;
  const int row_bytes = w.x.length * 3;
  const size_t stride = PaddedRow(w), out_stride = static_cast<size_t>(w.width) * 3;
  s.rows.resize(stride * 2);
  for (int i = 0; i < w.height; i += 2) {
    const int rows = std::min(2, w.height - i);
    for (int r = 0; r < rows; ++r) {
      w.kernels.filter_rows(w.input + s.starts_y[i + r] * w.input_stride, w.input_stride, row_bytes,
                            s.weights_y.data() + static_cast<size_t>(i + r) * w.y.taps,
                            TapsOfRow(w, i + r), s.rows.data() + r * stride);
      std::memset(s.rows.data() + r * stride + row_bytes, 0, kRowPadding);
    }
    uint8_t* out = out_hwc + static_cast<size_t>(i) * out_stride;
    FilterColumns(w, out, rows == 2 ? out + out_stride : out);
  }
}

void ColumnsFirst(const Work& w, uint8_t* out_hwc) {
  ResampleScratch& s = w.scratch;
  const size_t row_bytes = static_cast<size_t>(w.x.length) * 3, stride = PaddedRow(w);
  const size_t out_stride = static_cast<size_t>(w.width) * 3;
  s.rows.assign(stride * 2, 0);
  s.columns.resize(static_cast<size_t>(w.y.length) * out_stride);
  for (int i = 0; i < w.y.length; i += 2) {
    const int rows = std::min(2, w.y.length - i);
    for (int r = 0; r < rows; ++r)
      std::memcpy(s.rows.data() + r * stride, w.input + (i + r) * w.input_stride, row_bytes);
    uint8_t* out = s.columns.data() + static_cast<size_t>(i) * out_stride;
    FilterColumns(w, out, rows == 2 ? out + out_stride : out);
  }
  for (int i = 0; i < w.height; ++i) {
    w.kernels.filter_rows(s.columns.data() + s.starts_y[i] * out_stride, out_stride,
                          static_cast<int>(out_stride),
                          s.weights_y.data() + static_cast<size_t>(i) * w.y.taps, TapsOfRow(w, i),
                          out_hwc + static_cast<size_t>(i) * out_stride);
  }
}

absl::Status Resize(const Image& image, const CropBox& box, int width, int height, uint8_t* out_hwc,
                    ResampleScratch* scratch, Interpolation interpolation,
                    const ResampleKernels& kernels) {
  SEER_RETURN_IF_ERROR(CheckCrop(image, box, width, height));
  ResampleScratch own;
  ResampleScratch& s = scratch != nullptr ? *scratch : own;
  const bool bicubic = interpolation == Interpolation::kBicubic;
  const auto make_axis = bicubic ? MakeAxis<Bicubic> : MakeAxis<Bilinear>;
  const Axis x = make_axis(box.x, box.width, image.width, width, s.starts_x, s.weights_x);
  const Axis y = make_axis(box.y, box.height, image.height, height, s.starts_y, s.weights_y);
  const size_t image_stride = static_cast<size_t>(image.width) * 3;
  const Work work{image.rgb.data() + y.first * image_stride + static_cast<size_t>(x.first) * 3,
                  image_stride,
                  x,
                  y,
                  width,
                  height,
                  box.flip,
                  kernels,
                  s};
  if (bicubic && int64_t{y.length} * width * 3 <= kMostColumnBytes) {
    ColumnsFirst(work, out_hwc);
  } else {
    RowsFirst(work, out_hwc);
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ResizeCrop(const Image& image, const CropBox& box, int size, uint8_t* out_hwc,
                        ResampleScratch* scratch, Interpolation interpolation) {
  return Resize(image, box, size, size, out_hwc, scratch, interpolation, BestResampleKernels());
}

absl::Status ResizeBox(const Image& image, const CropBox& box, int width, int height,
                       uint8_t* out_hwc, ResampleScratch* scratch) {
  return Resize(image, box, width, height, out_hwc, scratch, Interpolation::kBilinear,
                BestResampleKernels());
}

absl::Status internal::ResizeCropPortable(const Image& image, const CropBox& box, int size,
                                          uint8_t* out_hwc, Interpolation interpolation) {
  return Resize(image, box, size, size, out_hwc, nullptr, interpolation, PortableResampleKernels());
}

}  // namespace seer::dataservice
