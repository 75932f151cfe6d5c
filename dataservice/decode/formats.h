// What each format's file gives to decoder.cc; included by this folder only.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "dataservice/decode/decoder.h"

namespace seer::dataservice {

// As stored, before the orientation is applied.
struct StoredInfo {
  int width = 0;
  int height = 0;
  int orientation = 1;  // EXIF, 1 to 8
};

struct StoredDecode {
  int scale_eighths = 8;  // JPEG only: 1, 2, 4 or 8
  int rows = -1;          // so many of the scaled rows are needed; -1: all
};

absl::StatusOr<StoredInfo> ReadJpegInfo(absl::string_view bytes);
absl::Status DecodeJpeg(absl::string_view bytes, const StoredDecode& options, Image& image);
absl::StatusOr<StoredInfo> ReadPngInfo(absl::string_view bytes);
absl::Status DecodePng(absl::string_view bytes, Image& image);
absl::StatusOr<StoredInfo> ReadWebpInfo(absl::string_view bytes);
absl::Status DecodeWebp(absl::string_view bytes, Image& image);

absl::Status TruncatedImage(absl::string_view format, absl::string_view why);
absl::Status CorruptImage(absl::string_view format, absl::string_view why);

// The orientation (1 to 8) in a TIFF block as EXIF carries it;
// 1 if there is none or the block is damaged.
int OrientationOf(absl::string_view tiff);
void ApplyOrientation(int orientation, Image& image);

}  // namespace seer::dataservice
