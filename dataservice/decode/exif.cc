#include <utility>

#include "dataservice/decode/formats.h"

namespace seer::dataservice {
namespace {

constexpr uint32_t kOrientationTag = 0x0112;

}  // namespace

int OrientationOf(absl::string_view tiff) {
  if (tiff.size() < 8) return 1;
  const bool little = tiff.substr(0, 2) == "II";
  if (!little && tiff.substr(0, 2) != "MM") return 1;
  const auto read = [&](size_t at, int bytes) -> uint32_t {
    if (at > tiff.size() || tiff.size() - at < static_cast<size_t>(bytes)) return 0;
    uint32_t value = 0;
    for (int i = 0; i < bytes; ++i) {
      const auto byte = static_cast<uint8_t>(tiff[at + static_cast<size_t>(i)]);
      value |= static_cast<uint32_t>(byte) << (little ? 8 * i : 8 * (bytes - 1 - i));
    }
    return value;
  };
  const size_t directory = read(4, 4);
  const uint32_t entries = read(directory, 2);
  for (uint32_t i = 0; i < entries; ++i) {
    const size_t entry = directory + 2 + size_t{12} * i;
    if (entry + 12 > tiff.size()) return 1;
    if (read(entry, 2) != kOrientationTag) continue;
    const uint32_t value = read(entry + 8, 2);
    return value >= 1 && value <= 8 ? static_cast<int>(value) : 1;
  }
  return 1;
}

void ApplyOrientation(int orientation, Image& image) {
  if (orientation == 1) return;
  const bool transpose = orientation >= 5;
  Image out;
  out.width = transpose ? image.height : image.width;
  out.height = transpose ? image.width : image.height;
  out.rgb.resize(image.rgb.size());
  // 2 mirrors, 3 turns by 180, 4 flips, 5 transposes, 6 turns clockwise, 7 transverses, 8 turns
  // counter-clockwise.
  const bool mirror_x =
      orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
  const bool mirror_y =
      orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
  for (int y = 0; y < out.height; ++y) {
    for (int x = 0; x < out.width; ++x) {
      int sx = transpose ? y : x, sy = transpose ? x : y;
      if (mirror_x) sx = image.width - 1 - sx;
      if (mirror_y) sy = image.height - 1 - sy;
      const uint8_t* from = &image.rgb[(static_cast<size_t>(sy) * image.width + sx) * 3];
      uint8_t* to = &out.rgb[(static_cast<size_t>(y) * out.width + x) * 3];
      to[0] = from[0], to[1] = from[1], to[2] = from[2];
    }
  }
  image = std::move(out);
}

}  // namespace seer::dataservice
