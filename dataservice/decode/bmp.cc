// BMP, read here: the uncompressed kinds of 1, 4, 8, 16, 24 and 32 bits, with the headers of OS/2
// 1 and of Windows (BITMAPINFOHEADER, V4, V5), rows from the bottom or from the top.
// Format: Microsoft, "Bitmap Storage" and "Bitmap Header Types". Run-length coded files and those
// that wrap a JPEG or PNG are refused.
#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "dataservice/decode/codecs.h"

namespace seer::dataservice {
namespace {

constexpr size_t kFileHeaderBytes = 14;
constexpr uint32_t kRgb = 0, kBitfields = 3;  // biCompression

// What the headers say, checked.
struct Header {
  int width = 0;
  int height = 0;
  bool from_top = false;
  int bits = 0;                     // of a pixel
  size_t pixels_at = 0;             // offset of the first stored row
  size_t stride = 0;                // of a row, bytes
  size_t palette_at = 0;            // up to 8 bits
  size_t colors = 0;                // in the palette
  int color_bytes = 4;              // of one of them, B G R
  std::array<uint32_t, 3> masks{};  // of 16 and 32 bits: red, green, blue
};

uint32_t Little(absl::string_view bytes, size_t at, int count) {
  uint32_t value = 0;
  for (int i = 0; i < count; ++i) value |= uint32_t{static_cast<uint8_t>(bytes[at + i])} << (8 * i);
  return value;
}

absl::Status Unsupported(absl::string_view what) {
  return Error(absl::StatusCode::kInvalidArgument, reason::kUnknownFormat,
               absl::StrCat("a BMP image with ", what, " is not read"))
      .Hint("Convert the image, or leave it out of the source.");
}

// The masks of 16 and 32 bits: the file's, or those of the format. A mask is a run of bits.
absl::Status ReadMasks(absl::string_view bytes, uint32_t compression, Header& header) {
  if (compression == kRgb) {
    header.masks = header.bits == 16 ? std::array<uint32_t, 3>{0x7C00, 0x03E0, 0x001F}
                                     : std::array<uint32_t, 3>{0xFF0000, 0xFF00, 0xFF};
    return absl::OkStatus();
  }
  // In V4 and V5 headers at the place where they follow the shorter one.
  constexpr size_t kMasksAt = kFileHeaderBytes + 40;
  if (bytes.size() < kMasksAt + 12) return TruncatedImage("BMP");
  for (size_t c = 0; c < 3; ++c) {
    const uint32_t mask = Little(bytes, kMasksAt + 4 * c, 4);
    const uint32_t run = mask == 0 ? 0 : mask >> std::countr_zero(mask);
    if (run == 0 || (run & (uint64_t{run} + 1)) != 0 || (header.bits == 16 && mask > 0xFFFF)) {
      return CorruptImage(absl::StrCat("BMP: colour mask ", mask));
    }
    header.masks[c] = mask;
  }
  return absl::OkStatus();
}

absl::StatusOr<Header> ReadHeader(absl::string_view bytes, const DecodeLimits& limits) {
  if (bytes.size() < kFileHeaderBytes + 4) return TruncatedImage("BMP");
  const uint32_t header_bytes = Little(bytes, kFileHeaderBytes, 4);
  const bool core = header_bytes == 12;
  if (!core && header_bytes != 40 && header_bytes != 52 && header_bytes != 56 &&
      header_bytes != 108 && header_bytes != 124) {
    return Unsupported(absl::StrCat("a header of ", header_bytes, " bytes"));
  }
  if (bytes.size() < kFileHeaderBytes + header_bytes) return TruncatedImage("BMP");
  const size_t at = kFileHeaderBytes + 4;
  Header header;
  int64_t width = Little(bytes, at, core ? 2 : 4);
  int64_t height = Little(bytes, core ? at + 2 : at + 4, core ? 2 : 4);
  if (!core) {  // signed there
    width = static_cast<int32_t>(width);
    height = static_cast<int32_t>(height);
  }
  header.from_top = height < 0;
  height = header.from_top ? -height : height;
  if (width < 0) return CorruptImage("BMP: a negative width");
  SEER_RETURN_IF_ERROR(
      CheckSize(static_cast<uint64_t>(width), static_cast<uint64_t>(height), limits));
  header.width = static_cast<int>(width);
  header.height = static_cast<int>(height);
  header.bits = static_cast<int>(Little(bytes, core ? at + 6 : at + 10, 2));
  const uint32_t compression = core ? kRgb : Little(bytes, at + 12, 4);
  header.color_bytes = core ? 3 : 4;
  const bool wide = header.bits == 16 || header.bits == 32;
  if (compression != kRgb && !(compression == kBitfields && wide))
    return Unsupported(absl::StrCat("compression ", compression));
  if (wide) SEER_RETURN_IF_ERROR(ReadMasks(bytes, compression, header));
  if (header.bits == 1 || header.bits == 4 || header.bits == 8) {
    const size_t most = size_t{1} << header.bits;
    const size_t used = core ? 0 : Little(bytes, at + 28, 4);
    header.colors = used == 0 ? most : std::min(used, most);
    header.palette_at = kFileHeaderBytes + header_bytes;
    if (bytes.size() < header.palette_at + header.colors * header.color_bytes)
      return TruncatedImage("BMP");
  } else if (!wide && header.bits != 24) {
    return Unsupported(absl::StrCat(header.bits, " bits a pixel"));
  }
  header.pixels_at = Little(bytes, 10, 4);
  if (header.pixels_at < kFileHeaderBytes + header_bytes)
    return CorruptImage("BMP: the pixels begin inside the header");
  header.stride = (static_cast<size_t>(header.width) * header.bits + 31) / 32 * 4;
  return header;
}

// The colours of an index, R G B; what the palette lacks is black.
std::array<uint8_t, 256 * 3> PaletteOf(absl::string_view bytes, const Header& header) {
  std::array<uint8_t, 256 * 3> palette{};
  for (size_t i = 0; i < header.colors; ++i) {
    for (size_t c = 0; c < 3; ++c) {
      palette[i * 3 + c] =
          static_cast<uint8_t>(bytes[header.palette_at + i * header.color_bytes + 2 - c]);
    }
  }
  return palette;
}

// The bits of `mask` in `pixel`, stretched or cut to 8 bits.
uint8_t Channel(uint32_t pixel, uint32_t mask) {
  const int shift = std::countr_zero(mask);
  const int bits = std::popcount(mask);
  const uint32_t value = (pixel & mask) >> shift;
  if (bits >= 8) return static_cast<uint8_t>(value >> (bits - 8));
  const uint32_t most = (uint32_t{1} << bits) - 1;
  return static_cast<uint8_t>((value * 255 + most / 2) / most);
}

void ConvertRow(const uint8_t* row, const Header& header,
                const std::array<uint8_t, 256 * 3>& palette, uint8_t* out) {
  for (int x = 0; x < header.width; ++x, out += 3) {
    if (header.bits <= 8) {
      const size_t bit = static_cast<size_t>(x) * header.bits;
      const int shift = 8 - header.bits - static_cast<int>(bit % 8);
      const int index = (row[bit / 8] >> shift) & ((1 << header.bits) - 1);
      std::memcpy(out, palette.data() + size_t{3} * index, 3);
    } else if (header.bits == 24) {
      for (int c = 0; c < 3; ++c) out[c] = row[x * 3 + 2 - c];
    } else {
      const int bytes = header.bits / 8;
      uint32_t pixel = 0;
      for (int i = 0; i < bytes; ++i) pixel |= uint32_t{row[x * bytes + i]} << (8 * i);
      for (size_t c = 0; c < 3; ++c) out[c] = Channel(pixel, header.masks[c]);
    }
  }
}

}  // namespace

absl::StatusOr<StoredSize> ReadBmpSize(absl::string_view bytes, const DecodeLimits& limits) {
  SEER_ASSIGN_OR_RETURN(const Header header, ReadHeader(bytes, limits));
  return StoredSize{header.width, header.height, 1};
}

absl::Status DecodeBmp(absl::string_view bytes, const DecodeLimits& limits, Image& image) {
  SEER_ASSIGN_OR_RETURN(const Header header, ReadHeader(bytes, limits));
  if (header.pixels_at > bytes.size() ||
      (bytes.size() - header.pixels_at) / header.stride < static_cast<size_t>(header.height)) {
    return TruncatedImage("BMP");
  }
  image.width = header.width;
  image.height = header.height;
  image.rgb.resize(static_cast<size_t>(image.width) * image.height * 3);
  const auto palette = PaletteOf(bytes, header);
  const auto* rows = reinterpret_cast<const uint8_t*>(bytes.data()) + header.pixels_at;
  for (int y = 0; y < image.height; ++y) {
    const int stored = header.from_top ? y : image.height - 1 - y;
    ConvertRow(rows + header.stride * stored, header, palette,
               image.rgb.data() + static_cast<size_t>(y) * image.width * 3);
  }
  return absl::OkStatus();
}

}  // namespace seer::dataservice
