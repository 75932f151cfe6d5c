// Bytes of an image file -> 8-bit RGB pixels: JPEG (libjpeg-turbo), PNG (libpng), WebP (libwebp),
// GIF (giflib; the first frame), TIFF (libtiff; the first page) and uncompressed BMP.
// Safe on any bytes: sizes are checked against the limits, and for all but WebP and
// arithmetic-coded JPEGs also against what so many bytes can hold, before anything is allocated.
// Free functions without state; thread-safe.
//
// Colours come out as Pillow's Image.convert("RGB") gives them: alpha and transparency are dropped
// (not composited), CMYK and YCCK JPEGs are read as Adobe writes them (inverted), colour profiles
// are ignored. Departures: of 16-bit samples the upper 8 bits are kept, grey ones too (TIFF: they
// are rounded); colours that a TIFF stores multiplied with alpha stay so. Orientation, by EXIF or
// TIFF's own tag, is applied wherever a format has it.
//
// Errors, by reason:
//   INVALID_ARGUMENT    UNKNOWN_FORMAT   its first bytes are of no format above, or
//                                        of a kind that is not read: animated WebP, BMP with run
//                                        lengths, TIFF with rare compressions or float samples
//   RESOURCE_EXHAUSTED  IMAGE_TOO_LARGE  above DecodeLimits
//   DATA_LOSS           IMAGE_TRUNCATED  the bytes end too early
//   DATA_LOSS           IMAGE_CORRUPT    the bytes contradict the format
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "dataservice/decode/image.h"
#include "dataservice/decode/resample.h"
#include "dataservice/order/crops.h"

namespace seer::dataservice {

enum class ImageFormat { kJpeg, kPng, kWebp, kGif, kBmp, kTiff };

// "jpeg", "png", "webp", "gif", "bmp", "tiff": as the catalogue writes it.
absl::string_view FormatName(ImageFormat format);
// Those of all formats.
std::vector<absl::string_view> FormatNames();

// By the magic bytes alone; the file's name does not matter.
absl::StatusOr<ImageFormat> SniffFormat(absl::string_view bytes);

struct DecodeLimits {
  int64_t max_pixels = 178'956'970;        // width * height; the default is Pillow's bomb limit
  int64_t max_bytes = int64_t{256} << 20;  // of the encoded file
};

struct ImageInfo {
  ImageFormat format = ImageFormat::kJpeg;
  int width = 0;  // upright, in pixels
  int height = 0;
  friend bool operator==(const ImageInfo&, const ImageInfo&) = default;
};

// Reads the header only. OK does not promise that the pixels can be decoded.
absl::StatusOr<ImageInfo> ReadImageInfo(absl::string_view bytes, const DecodeLimits& limits = {});

struct DecodeOptions {
  // A JPEG may come out smaller, by 1/2, 1/4 or 1/8, as long as it is at least this large
  // (upright); 0: full size. Scaled decoding drops coefficients before the inverse DCT, which is
  // much faster. The other formats are always full size.
  int min_width = 0;
  int min_height = 0;
  DecodeLimits limits;
};

absl::StatusOr<Image> Decode(absl::string_view bytes, const DecodeOptions& options = {});

// One view to cut: `box` in pixels of the full-size upright image;
// `out` is [size, size, 3] and outlives the call.
struct CropSpec {
  CropBox box;
  int size = 0;
  uint8_t* out = nullptr;
  Interpolation interpolation = Interpolation::kBilinear;
};

// Pixels that a DecodeScratch may hold between calls: after a larger image they are given back, so
// that a thread does not keep the memory of the largest image it ever saw.
inline constexpr size_t kMaxScratchBytes = size_t{64} << 20;

// Buffers that calls reuse. One per thread that decodes.
struct DecodeScratch {
  Image image;
  ResampleScratch resample;
};

// Decodes once, at the smallest scale that still has a pixel for every output pixel of every crop,
// and only down to the last row that a crop needs (damage below that row goes unseen); then fills
// every crop by ResizeCrop. `scratch` may be null.
// On error the contents of the outputs are unspecified. Also INVALID_ARGUMENT with OUT_OF_RANGE: a
// box that is empty or reaches outside the image, or a size < 1.
absl::StatusOr<ImageInfo> DecodeAndCrop(absl::string_view bytes, absl::Span<const CropSpec> crops,
                                        const DecodeLimits& limits = {},
                                        DecodeScratch* scratch = nullptr);

}  // namespace seer::dataservice
