// Encodes pixels that a test knows into image files of every kind that a pool may hold, straight
// through libjpeg, libpng, libwebp, giflib and libtiff; BMP by hand. A broken argument aborts.
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

struct GifOptions {
  int screen_width = 0, screen_height = 0;  // 0: the frame's
  int left = 0, top = 0;                    // of the frame on the screen
  bool interlaced = false;
  bool local_palette = false;  // instead of the global one
  int transparent = -1;        // index; -1: no graphics control
};
// One frame of `indices` into `palette` (a power of two of colours, 2 to 256).
std::string EncodeGif(int width, int height, const Bytes& indices,
                      const std::vector<std::array<uint8_t, 3>>& palette,
                      const GifOptions& options = {});

struct TiffOptions {
  int samples = 3;      // of `pixels`: 1 grey, 3 RGB, 4 RGB + alpha (CMYK if `cmyk`)
  int compression = 1;  // TIFF's number: 1 none, 5 LZW, 7 JPEG, 8 Deflate, 32773 PackBits
  int bits = 8;         // of a sample; 16: `pixels` are the upper bytes
  bool planar = false;  // a plane a sample
  bool cmyk = false;
  bool white_is_zero = false;  // of grey
  int rows_per_strip = 0;      // 0: one strip
  int tile = 0;                // side of a tile, a multiple of 16; 0: strips
  int orientation = 0;         // 0: no tag
  bool big_endian = false;
  std::vector<std::array<uint8_t, 3>> palette;  // `pixels` are indices; 256 colours
};
std::string EncodeTiff(int width, int height, const Bytes& pixels, const TiffOptions& options = {});

struct BmpOptions {
  int bits = 24;                                // of a pixel
  bool from_top = false;                        // the first row is the top one
  bool core = false;                            // OS/2's header
  std::array<uint32_t, 3> masks{};              // red, green, blue; 0: none are written
  std::vector<std::array<uint8_t, 3>> palette;  // of up to 8 bits
};
// `pixels`: the stored number of each.
std::string EncodeBmp(int width, int height, const std::vector<uint32_t>& pixels,
                      const BmpOptions& options = {});

}  // namespace seer::testing
