// WebP, lossy and lossless, through libwebp. Animations are refused: a pool holds still images.
#include <webp/decode.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "dataservice/decode/codecs.h"
#include "dataservice/decode/orientation.h"

namespace seer::dataservice {
namespace {

const uint8_t* Data(absl::string_view bytes) {
  return reinterpret_cast<const uint8_t*>(bytes.data());
}

uint32_t LittleEndian32(absl::string_view bytes, size_t at) {
  const uint8_t* p = Data(bytes) + at;
  return p[0] | (uint32_t{p[1]} << 8) | (uint32_t{p[2]} << 16) | (uint32_t{p[3]} << 24);
}

// The RIFF header says how long the file must be.
bool EndsEarly(absl::string_view bytes) {
  return bytes.size() < 12 || bytes.size() - 8 < LittleEndian32(bytes, 4);
}

absl::Status FailureOf(absl::string_view bytes, VP8StatusCode code) {
  if (code == VP8_STATUS_OUT_OF_MEMORY) {
    return Error(absl::StatusCode::kResourceExhausted, reason::kOutOfMemory,
                 "no memory to decode a WebP image");
  }
  if (code == VP8_STATUS_NOT_ENOUGH_DATA || code == VP8_STATUS_SUSPENDED || EndsEarly(bytes)) {
    return TruncatedImage("WebP");
  }
  return CorruptImage(absl::StrCat("WebP: decoder status ", static_cast<int>(code)));
}

// Chunks follow "RIFF" size "WEBP": a name of 4 bytes, a length, the data, padded to an even
// length.
int OrientationOf(absl::string_view bytes) {
  size_t at = 12;
  while (bytes.size() >= 8 && at <= bytes.size() - 8) {
    const uint64_t length = LittleEndian32(bytes, at + 4);
    const size_t rest = bytes.size() - at - 8;
    if (bytes.substr(at, 4) == "EXIF")
      return ExifOrientation(bytes.substr(at + 8, std::min<uint64_t>(length, rest)));
    if (length + (length & 1) > rest) break;
    at += 8 + length + (length & 1);
  }
  return 1;
}

absl::Status ReadFeatures(absl::string_view bytes, const DecodeLimits& limits,
                          WebPBitstreamFeatures& features) {
  const VP8StatusCode code = WebPGetFeatures(Data(bytes), bytes.size(), &features);
  if (code != VP8_STATUS_OK) return FailureOf(bytes, code);
  if (features.has_animation != 0) {
    return Error(absl::StatusCode::kInvalidArgument, reason::kUnknownFormat,
                 "an animated WebP is not a still image")
        .Hint("Extract one frame, or leave the file out of the source.");
  }
  return CheckSize(static_cast<uint64_t>(std::max(features.width, 0)),
                   static_cast<uint64_t>(std::max(features.height, 0)), limits);
}

}  // namespace

absl::StatusOr<StoredSize> ReadWebpSize(absl::string_view bytes, const DecodeLimits& limits) {
  WebPBitstreamFeatures features;
  SEER_RETURN_IF_ERROR(ReadFeatures(bytes, limits, features));
  return StoredSize{features.width, features.height, OrientationOf(bytes)};
}

absl::Status DecodeWebp(absl::string_view bytes, const DecodeLimits& limits, Image& image) {
  WebPDecoderConfig config;
  if (WebPInitDecoderConfig(&config) == 0) {
    return Error(absl::StatusCode::kInternal, reason::kInternal,
                 "libwebp has another version than its header");
  }
  SEER_RETURN_IF_ERROR(ReadFeatures(bytes, limits, config.input));
  image.width = config.input.width;
  image.height = config.input.height;
  image.rgb.resize(static_cast<size_t>(image.width) * image.height * 3);
  config.output.colorspace = MODE_RGB;  // alpha is dropped, not multiplied in
  config.output.is_external_memory = 1;
  config.output.u.RGBA.rgba = image.rgb.data();
  config.output.u.RGBA.stride = image.width * 3;
  config.output.u.RGBA.size = image.rgb.size();
  const VP8StatusCode code = WebPDecode(Data(bytes), bytes.size(), &config);
  if (code != VP8_STATUS_OK) return FailureOf(bytes, code);
  return absl::OkStatus();
}

}  // namespace seer::dataservice
