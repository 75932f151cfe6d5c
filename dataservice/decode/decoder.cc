#include "dataservice/decode/decoder.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "dataservice/decode/formats.h"

namespace seer::dataservice {
namespace {

struct Header {
  ImageFormat format = ImageFormat::kJpeg;
  StoredInfo stored;
  ImageInfo upright() const {
    const bool transposed = stored.orientation >= 5;
    return {format, transposed ? stored.height : stored.width, transposed ? stored.width : stored.height};
  }
};

absl::StatusOr<Header> ReadHeader(absl::string_view bytes, const DecodeLimits& limits) {
  if (static_cast<int64_t>(bytes.size()) > limits.max_bytes) {
    return Error(absl::StatusCode::kResourceExhausted, reason::kImageTooLarge, absl::StrCat("the file has more than ", limits.max_bytes, " bytes"));
  }
  Header header;
  SEER_ASSIGN_OR_RETURN(header.format, SniffFormat(bytes));
  switch (header.format) {
    case ImageFormat::kJpeg: {
      SEER_ASSIGN_OR_RETURN(header.stored, ReadJpegInfo(bytes));
      break;
    }
    case ImageFormat::kPng: {
      SEER_ASSIGN_OR_RETURN(header.stored, ReadPngInfo(bytes));
      break;
    }
    case ImageFormat::kWebp: {
      SEER_ASSIGN_OR_RETURN(header.stored, ReadWebpInfo(bytes));
      break;
    }
  }
  const int64_t pixels = int64_t{header.stored.width} * header.stored.height;
  if (header.stored.width < 1 || header.stored.height < 1) return CorruptImage(FormatName(header.format), "no pixels");
  if (pixels > limits.max_pixels) {
    return Error(absl::StatusCode::kResourceExhausted, reason::kImageTooLarge,
                 absl::StrCat(header.stored.width, " x ", header.stored.height, " pixels are more than the limit of ", limits.max_pixels));
  }
  return header;
}

int Scaled(int length, int eighths) { return static_cast<int>((int64_t{length} * eighths + 7) / 8); }

absl::Status DecodeStored(absl::string_view bytes, const Header& header, const StoredDecode& options, Image& image) {
  switch (header.format) {
    case ImageFormat::kJpeg: return DecodeJpeg(bytes, options, image);
    case ImageFormat::kPng: return DecodePng(bytes, image);
    case ImageFormat::kWebp: return DecodeWebp(bytes, image);
  }
  return CorruptImage("image", "unknown format");
}

}  // namespace

absl::Status TruncatedImage(absl::string_view format, absl::string_view why) {
  return Error(absl::StatusCode::kDataLoss, reason::kImageTruncated, absl::StrCat("the ", format, " is cut off: ", why));
}
absl::Status CorruptImage(absl::string_view format, absl::string_view why) {
  return Error(absl::StatusCode::kDataLoss, reason::kImageCorrupt, absl::StrCat("the ", format, " is damaged: ", why));
}

absl::string_view FormatName(ImageFormat format) {
  switch (format) {
    case ImageFormat::kJpeg: return "jpeg";
    case ImageFormat::kPng: return "png";
    case ImageFormat::kWebp: return "webp";
  }
  return "";
}

absl::StatusOr<ImageFormat> SniffFormat(absl::string_view bytes) {
  if (absl::StartsWith(bytes, "\xFF\xD8\xFF")) return ImageFormat::kJpeg;
  if (absl::StartsWith(bytes, "\x89PNG\r\n\x1A\n")) return ImageFormat::kPng;
  if (bytes.size() >= 12 && absl::StartsWith(bytes, "RIFF") && bytes.substr(8, 4) == "WEBP") return ImageFormat::kWebp;
  return Error(absl::StatusCode::kInvalidArgument, reason::kUnknownFormat, bytes.empty() ? "the file is empty" : "the bytes are not a JPEG, PNG or WebP image");
}

absl::StatusOr<ImageInfo> ReadImageInfo(absl::string_view bytes, const DecodeLimits& limits) {
  SEER_ASSIGN_OR_RETURN(const Header header, ReadHeader(bytes, limits));
  return header.upright();
}

absl::StatusOr<Image> Decode(absl::string_view bytes, const DecodeOptions& options) {
  SEER_ASSIGN_OR_RETURN(const Header header, ReadHeader(bytes, options.limits));
  StoredDecode stored;
  const ImageInfo upright = header.upright();
  if (header.format == ImageFormat::kJpeg && options.min_width > 0 && options.min_height > 0) {
    for (int eighths : {4, 2, 1}) {
      if (Scaled(upright.width, eighths) < options.min_width || Scaled(upright.height, eighths) < options.min_height) break;
      stored.scale_eighths = eighths;
    }
  }
  Image image;
  SEER_RETURN_IF_ERROR(DecodeStored(bytes, header, stored, image));
  ApplyOrientation(header.stored.orientation, image);
  return image;
}

absl::StatusOr<ImageInfo> DecodeAndCrop(absl::string_view bytes, absl::Span<const CropSpec> crops, const DecodeLimits& limits, DecodeScratch* scratch) {
  SEER_ASSIGN_OR_RETURN(const Header header, ReadHeader(bytes, limits));
  const ImageInfo upright = header.upright();
  StoredDecode stored;
  if (header.format == ImageFormat::kJpeg) {
    for (int eighths : {4, 2, 1}) {
      const bool enough = std::all_of(crops.begin(), crops.end(), [&](const CropSpec& crop) {
        return std::min(crop.box.width, crop.box.height) * eighths / 8 >= crop.size;
      });
      if (!enough) break;
      stored.scale_eighths = eighths;
    }
    if (header.stored.orientation == 1) {
      double bottom = 0;
      for (const CropSpec& crop : crops) bottom = std::max(bottom, crop.box.y + crop.box.height);
      stored.rows = static_cast<int>(std::ceil(bottom * stored.scale_eighths / 8)) + 1;
    }
  }
  DecodeScratch own;
  DecodeScratch& use = scratch != nullptr ? *scratch : own;
  SEER_RETURN_IF_ERROR(DecodeStored(bytes, header, stored, use.image));
  ApplyOrientation(header.stored.orientation, use.image);
  const double scale_x = static_cast<double>(use.image.width) / upright.width, scale_y = static_cast<double>(use.image.height) / upright.height;
  for (const CropSpec& crop : crops) {
    const CropBox box{crop.box.x * scale_x, crop.box.y * scale_y, crop.box.width * scale_x, crop.box.height * scale_y, crop.box.flip};
    SEER_RETURN_IF_ERROR(ResizeCrop(use.image, box, crop.size, crop.out, &use.resample));
  }
  return upright;
}

}  // namespace seer::dataservice
