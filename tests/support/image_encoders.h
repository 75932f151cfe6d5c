// Encodes pixels that a test knows into image files of every kind that a pool may hold, straight
// through libjpeg, libpng and libwebp. A broken argument aborts.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace seer::testing {

using Bytes = std::vector<uint8_t>;

// A little TIFF block with an orientation and an entry before it, without the leading "Exif\0\0".
std::string ExifBlock(int orientation, bool big_endian);

struct JpegOptions {
  int quality = 95;
  int components = 3;       // of `pixels`: 1 grey, 3 RGB, 4 CMYK as Adobe stores it (255: no ink)
  bool subsampled = false;  // 4:2:0 instead of 4:4:4
  bool progressive = false;
  bool arithmetic = false;  // instead of Huffman codes
  bool ycck = false;        // of 4 components: stored as YCCK instead of CMYK
  int restart_rows = 0;     // a restart marker every so many rows of blocks
  int orientation = 0;      // 0: no EXIF block
  bool big_endian = false;  // of the EXIF block
};
std::string EncodeJpeg(int width, int height, const Bytes& pixels, const JpegOptions& options = {});

struct PngOptions {
  int color_type = 2;  // as in IHDR: 0 grey, 2 RGB, 3 palette, 4 grey + alpha, 6 RGB + alpha
  int bit_depth = 8;
  bool interlaced = false;
  std::vector<std::array<uint8_t, 3>> palette;
  Bytes palette_alpha;        // tRNS of a palette
  int transparent_grey = -1;  // tRNS of a grey image
  int orientation = 0;        // 0: no eXIf chunk
};
// `rows`: as PNG stores them, packed, big-endian, every row starting at a byte.
std::string EncodePng(int width, int height, const Bytes& rows, const PngOptions& options = {});

// `pixels` of 3 (RGB) or 4 (RGBA) bytes.
std::string EncodeWebp(int width, int height, const Bytes& pixels, bool lossless, int channels = 3);
// A simple WebP file in the extended form: `flags` of VP8X, and chunks after the image.
std::string ExtendWebp(const std::string& simple, int width, int height, uint8_t flags,
                       const std::vector<std::pair<std::string, std::string>>& chunks);

}  // namespace seer::testing
