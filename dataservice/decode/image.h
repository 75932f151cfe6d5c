// Decoded pixels.
#pragma once

#include <cstdint>
#include <vector>

namespace seer::dataservice {

// 8-bit RGB, rows from the top without padding: rgb is [height, width, 3].
// Upright (EXIF orientation is applied).
struct Image {
  int width = 0;
  int height = 0;
  std::vector<uint8_t> rgb;
};

}  // namespace seer::dataservice
