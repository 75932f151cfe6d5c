// Pictures side by side in one JPEG file. Not thread-safe.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "seer/v1/pool_inspection.pb.h"

namespace seer::client {

class ContactSheet {
 public:
  static constexpr int64_t kMaxPixels = int64_t{256} << 20;  // 3 bytes each are held

  // Room for `count` blocks of width x height pixels, all at least 1, on a sheet about as wide as
  // high. INVALID_ARGUMENT with OUT_OF_RANGE: that is more than kMaxPixels, or than a JPEG may
  // have.
  static absl::StatusOr<ContactSheet> Create(int count, int width, int height);

  int width() const { return width_; }
  int height() const { return height_; }
  // Top left corner of a block, pixels.
  int BlockX(int index) const { return kGap + index % columns_ * (block_width_ + kGap); }
  int BlockY(int index) const { return kGap + index / columns_ * (block_height_ + kGap); }
  // [height, width, 3]
  const std::vector<uint8_t>& rgb() const { return rgb_; }

  // The views from left to right into block `index`, in its middle from top to bottom; what does
  // not fit, or is not as large as it says, is left out. An image without views gives a dark red
  // block.
  void Place(int index, const v1::SampledImage& image);
  // UNAVAILABLE with STORAGE_FAILED, RESOURCE_EXHAUSTED with DISK_FULL.
  absl::Status Write(const std::string& file) const;

  static constexpr int kGap = 4;  // pixels between blocks, and between the views of one

 private:
  ContactSheet(int columns, int rows, int block_width, int block_height);

  int columns_;
  int block_width_, block_height_;
  int width_, height_;
  std::vector<uint8_t> rgb_;
};

}  // namespace seer::client
