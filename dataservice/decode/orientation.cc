#include "dataservice/decode/orientation.h"

#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

#include "absl/strings/match.h"

namespace seer::dataservice {
namespace {

constexpr uint32_t kOrientationTag = 0x0112;

// Bounds-checked numbers out of a TIFF block of either byte order.
struct TiffReader {
  absl::string_view data;
  bool big_endian = false;

  // False if the number lies outside the block.
  bool Read(uint64_t offset, int bytes, uint32_t& value) const {
    if (offset > data.size() || data.size() - offset < static_cast<uint64_t>(bytes)) return false;
    value = 0;
    for (int i = 0; i < bytes; ++i) {
      const uint32_t byte = static_cast<uint8_t>(data[offset + i]);
      value |= byte << (8 * (big_endian ? bytes - 1 - i : i));
    }
    return true;
  }
};

}  // namespace

int ExifOrientation(absl::string_view exif) {
  const absl::string_view prefix("Exif\0\0", 6);
  if (absl::StartsWith(exif, prefix)) exif.remove_prefix(prefix.size());
  TiffReader tiff{exif};
  if (absl::StartsWith(exif, "MM")) {
    tiff.big_endian = true;
  } else if (!absl::StartsWith(exif, "II")) {
    return 1;
  }
  uint32_t ifd = 0, entries = 0;
  if (!tiff.Read(4, 4, ifd) || !tiff.Read(ifd, 2, entries)) return 1;
  for (uint32_t i = 0; i < entries; ++i) {
    const uint64_t entry = uint64_t{ifd} + 2 + uint64_t{12} * i;
    uint32_t tag = 0, value = 0;
    if (!tiff.Read(entry, 2, tag)) return 1;
    if (tag != kOrientationTag) continue;
    return tiff.Read(entry + 8, 2, value) && value >= 1 && value <= 8 ? static_cast<int>(value) : 1;
  }
  return 1;
}

void MakeUpright(int orientation, Image& image) {
  if (orientation <= 1 || orientation > 8) return;
  const int64_t width = image.width;
  const int64_t height = image.height;
  // Source pixel of upright (0, 0) and the steps in the stored image for one pixel to the right and
  // one down.
  const bool from_right =
      orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
  const bool from_bottom =
      orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
  int64_t step_x = from_right ? -1 : 1;
  int64_t step_y = from_bottom ? -width : width;
  const int64_t origin = (from_right ? width - 1 : 0) + (from_bottom ? (height - 1) * width : 0);
  if (SwapsAxes(orientation)) {
    std::swap(step_x, step_y);
    std::swap(image.width, image.height);
  }
  std::vector<uint8_t> upright(image.rgb.size());
  uint8_t* out = upright.data();
  for (int64_t y = 0; y < image.height; ++y) {
    int64_t source = origin + y * step_y;
    for (int64_t x = 0; x < image.width; ++x, source += step_x, out += 3) {
      std::memcpy(out, image.rgb.data() + source * 3, 3);
    }
  }
  image.rgb = std::move(upright);
}

}  // namespace seer::dataservice
