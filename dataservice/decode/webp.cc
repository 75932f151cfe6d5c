#include <webp/decode.h>
#include <webp/demux.h>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "dataservice/decode/formats.h"

namespace seer::dataservice {
namespace {

const uint8_t* Data(absl::string_view bytes) { return reinterpret_cast<const uint8_t*>(bytes.data()); }

absl::Status StatusOf(VP8StatusCode code) {
  if (code == VP8_STATUS_OK) return absl::OkStatus();
  if (code == VP8_STATUS_NOT_ENOUGH_DATA || code == VP8_STATUS_SUSPENDED) return TruncatedImage("WebP", "the bytes end too early");
  return CorruptImage("WebP", absl::StrCat("libwebp's error ", static_cast<int>(code)));
}

int Orientation(absl::string_view bytes) {
  const WebPData data{Data(bytes), bytes.size()};
  WebPDemuxState state;
  WebPDemuxer* demuxer = WebPDemuxPartial(&data, &state);
  if (demuxer == nullptr) return 1;
  int orientation = 1;
  WebPChunkIterator chunk;
  if (WebPDemuxGetChunk(demuxer, "EXIF", 1, &chunk) != 0) {
    absl::string_view exif(reinterpret_cast<const char*>(chunk.chunk.bytes), chunk.chunk.size);
    if (exif.substr(0, 4) == "Exif" && exif.size() > 6) exif.remove_prefix(6);
    orientation = OrientationOf(exif);
    WebPDemuxReleaseChunkIterator(&chunk);
  }
  WebPDemuxDelete(demuxer);
  return orientation;
}

}  // namespace

absl::StatusOr<StoredInfo> ReadWebpInfo(absl::string_view bytes) {
  WebPBitstreamFeatures features;
  SEER_RETURN_IF_ERROR(StatusOf(WebPGetFeatures(Data(bytes), bytes.size(), &features)));
  if (features.has_animation != 0) return Error(absl::StatusCode::kInvalidArgument, reason::kUnknownFormat, "an animated WebP");
  return StoredInfo{features.width, features.height, Orientation(bytes)};
}

absl::Status DecodeWebp(absl::string_view bytes, Image& image) {
  WebPDecoderConfig config;
  if (WebPInitDecoderConfig(&config) == 0) return CorruptImage("WebP", "libwebp has another version than its header");
  SEER_RETURN_IF_ERROR(StatusOf(WebPGetFeatures(Data(bytes), bytes.size(), &config.input)));
  image.width = config.input.width;
  image.height = config.input.height;
  image.rgb.resize(size_t{3} * image.width * image.height);
  config.output.colorspace = MODE_RGB;
  config.output.is_external_memory = 1;
  config.output.u.RGBA = {image.rgb.data(), 3 * image.width, image.rgb.size()};
  return StatusOf(WebPDecode(Data(bytes), bytes.size(), &config));
}

}  // namespace seer::dataservice
