// Cuts a box out of an image and resizes it to a square: separable, antialiased, bilinear or
// bicubic. Thread-safe.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "dataservice/decode/image.h"
#include "dataservice/order/crops.h"

namespace seer::dataservice {

// Pillow's filters of these names: a triangle of 1 pixel to each side, and Keys' cubic with a =
// -0.5 of 2 (IEEE TASSP 29-6, 1981, eq. 15), whose outer parts are negative: edges overshoot.
enum class Interpolation { kBilinear, kBicubic };

// Buffers that calls reuse; contents mean nothing between calls. One per thread.
struct ResampleScratch {
  std::vector<uint8_t> rows, columns;
  std::vector<int16_t> weights_x, weights_y;
  std::vector<int> starts_x, starts_y;
};

// Equals Pillow's image.crop(whole pixels that the box touches).resize((size, size), BILINEAR or
// BICUBIC, box=the box) up to one level (bicubic: two): a filter whose support grows with the
// reduction, taps only inside the box, both passes in 14-bit fixed point with rounding to 8 bits
// between. The result is the same on every machine (the AVX2 path computes the same integers).
// Bilinear, the rows are filtered before the columns, which is faster; bicubic, as Pillow, the
// columns first (Pillow 13 for most shapes), because what overshoots is clamped between the passes
// (but for boxes of so many rows that they would take 16 MiB in between). Mirrors if box.flip.
// Writes out_hwc [size, size, 3]. INVALID_ARGUMENT with OUT_OF_RANGE: the box is empty or reaches
// outside the image (by more than 1e-6), or size < 1.
absl::Status ResizeCrop(const Image& image, const CropBox& box, int size, uint8_t* out_hwc,
                        ResampleScratch* scratch = nullptr,
                        Interpolation interpolation = Interpolation::kBilinear);

// The same, bilinear, into a rectangle, out_hwc [height, width, 3]. INVALID_ARGUMENT as ResizeCrop.
absl::Status ResizeBox(const Image& image, const CropBox& box, int width, int height,
                       uint8_t* out_hwc, ResampleScratch* scratch = nullptr);

namespace internal {
// The same without AVX2, for the test that compares the two.
absl::Status ResizeCropPortable(const Image& image, const CropBox& box, int size, uint8_t* out_hwc,
                                Interpolation interpolation = Interpolation::kBilinear);
}  // namespace internal

}  // namespace seer::dataservice
