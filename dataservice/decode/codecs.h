// The decoders behind decoder.h, one pair of functions a format, and what they share.
// Internal to this folder.
#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "dataservice/decode/decoder.h"
#include "dataservice/decode/image.h"

namespace seer::dataservice {

// What a file says about itself, before its orientation is applied.
struct StoredSize {
  int width = 0;
  int height = 0;
  int orientation = 1;  // EXIF, 1 to 8
};

// How much of a JPEG to decode; in stored (not upright) pixels.
struct JpegRequest {
  int scale_denominator = 1;  // 1, 2, 4 or 8
  int rows = -1;              // of the scaled image; -1: all, and check the end of the file
};

// Each reads the header and checks the size against `limits`.
absl::StatusOr<StoredSize> ReadJpegSize(absl::string_view bytes, const DecodeLimits& limits);
absl::StatusOr<StoredSize> ReadPngSize(absl::string_view bytes, const DecodeLimits& limits);
absl::StatusOr<StoredSize> ReadWebpSize(absl::string_view bytes, const DecodeLimits& limits);
absl::StatusOr<StoredSize> ReadGifSize(absl::string_view bytes, const DecodeLimits& limits);
absl::StatusOr<StoredSize> ReadBmpSize(absl::string_view bytes, const DecodeLimits& limits);
absl::StatusOr<StoredSize> ReadTiffSize(absl::string_view bytes, const DecodeLimits& limits);

// Each fills `image` with the pixels as stored.
// Rows that a JpegRequest leaves out are not part of the image.
absl::Status DecodeJpeg(absl::string_view bytes, const DecodeLimits& limits,
                        const JpegRequest& request, Image& image);
absl::Status DecodePng(absl::string_view bytes, const DecodeLimits& limits, Image& image);
absl::Status DecodeWebp(absl::string_view bytes, const DecodeLimits& limits, Image& image);
absl::Status DecodeGif(absl::string_view bytes, const DecodeLimits& limits, Image& image);
absl::Status DecodeBmp(absl::string_view bytes, const DecodeLimits& limits, Image& image);
absl::Status DecodeTiff(absl::string_view bytes, const DecodeLimits& limits, Image& image);

// RESOURCE_EXHAUSTED with IMAGE_TOO_LARGE above limits.max_pixels,
// DATA_LOSS with IMAGE_CORRUPT if an edge is 0.
absl::Status CheckSize(uint64_t width, uint64_t height, const DecodeLimits& limits);

absl::Status TruncatedImage(absl::string_view what);  // DATA_LOSS, IMAGE_TRUNCATED
absl::Status CorruptImage(absl::string_view what);    // DATA_LOSS, IMAGE_CORRUPT

}  // namespace seer::dataservice
