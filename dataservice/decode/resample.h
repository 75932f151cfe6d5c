// Cuts a box out of an image and resizes it to a square: separable, antialiased bilinear.
// Thread-safe.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "dataservice/decode/image.h"
#include "dataservice/order/crops.h"

namespace seer::dataservice {

// Buffers that calls reuse; contents mean nothing between calls. One per thread.
struct ResampleScratch {
  std::vector<uint8_t> rows;
  std::vector<int16_t> weights_x, weights_y;
  std::vector<int> starts_x, starts_y;
};

// Equals Pillow's image.crop(whole pixels that the box touches).resize((size, size), BILINEAR,
// box=the box) up to one level: a triangle filter whose support grows with the reduction, taps only
// inside the box. The rows are filtered before the columns, both in 14-bit fixed point with
// rounding to 8 bits between; the result is the same on every machine (the AVX2 path computes the
// same integers). Mirrors if box.flip. Writes out_hwc [size, size, 3].
// INVALID_ARGUMENT with OUT_OF_RANGE: the box is empty or reaches outside the image (by more than
// 1e-6), or size < 1.
absl::Status ResizeCrop(const Image& image, const CropBox& box, int size, uint8_t* out_hwc,
                        ResampleScratch* scratch = nullptr);

// The same into a rectangle, out_hwc [height, width, 3]. INVALID_ARGUMENT as ResizeCrop.
absl::Status ResizeBox(const Image& image, const CropBox& box, int width, int height,
                       uint8_t* out_hwc, ResampleScratch* scratch = nullptr);

namespace internal {
// The same without AVX2, for the test that compares the two.
absl::Status ResizeCropPortable(const Image& image, const CropBox& box, int size, uint8_t* out_hwc,
                                ResampleScratch* scratch = nullptr);
}  // namespace internal

}  // namespace seer::dataservice
