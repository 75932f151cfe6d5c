// Where a view is cut out of an image and whether it is mirrored.
// Pure functions of (seed, sample index, view). Thread-safe.
#pragma once

#include <cstdint>

namespace seer::dataservice {

// A rectangle in pixels of the upright image (after its EXIF orientation), x to the right, y down;
// pixel (0, 0) covers [0, 1) x [0, 1). `flip`: mirror left to right after the cut.
struct CropBox {
  double x = 0;
  double y = 0;
  double width = 0;
  double height = 0;
  bool flip = false;
  friend bool operator==(const CropBox&, const CropBox&) = default;
};

// The distribution of torchvision.transforms.RandomResizedCrop: up to 10 tries of an area uniform
// in [min_scale, max_scale] of the image's and an aspect ratio log-uniform in [3/4, 4/3], edges
// rounded to whole pixels, place uniform; if none fits, the largest centred box whose ratio is in
// that range. `flip` is true with flip_probability. Every number is Philox(seed; sample_index,
// view_index), so a view does not depend on the other views. `view_index` counts over all crop
// recipes of the request (0 .. total views - 1). Edges of the result are whole pixels inside the
// image. Needs image_width, image_height >= 1,
// 0 < min_scale <= max_scale (the caller has checked the recipe).
CropBox RandomResizedCrop(uint64_t seed, int64_t sample_index, uint32_t view_index,
                          int64_t image_width, int64_t image_height, double min_scale,
                          double max_scale, double flip_probability);

// The box that equals "resize the shorter side to size * 256 / 224 (exactly `size` below 64
// pixels), then cut size x size out of the centre", in pixels of the image; its edges are in
// general fractions. Always inside the image.
CropBox CenterCrop(int size, int64_t image_width, int64_t image_height);

}  // namespace seer::dataservice
