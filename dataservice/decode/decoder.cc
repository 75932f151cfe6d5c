#include "dataservice/decode/decoder.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "dataservice/decode/codecs.h"
#include "dataservice/decode/orientation.h"

namespace seer::dataservice {
namespace {

constexpr absl::string_view kThreeZeros("\0\0\0", 3);

absl::Status CheckBytes(absl::string_view bytes, const DecodeLimits& limits) {
  if (static_cast<int64_t>(bytes.size()) <= limits.max_bytes) return absl::OkStatus();
  return Error(
             absl::StatusCode::kResourceExhausted, reason::kImageTooLarge,
             absl::StrCat("the file has ", bytes.size(), " bytes, the limit is ", limits.max_bytes))
      .Hint("Leave it out of the source, or store it smaller.")
      .With("bytes", absl::StrCat(bytes.size()))
      .With("limit", absl::StrCat(limits.max_bytes));
}

// What is known of a format: its name, how its files begin, how they are read.
struct Codec {
  ImageFormat format;
  absl::string_view name;
  bool (*matches)(absl::string_view bytes);
  absl::StatusOr<StoredSize> (*read_size)(absl::string_view bytes, const DecodeLimits& limits);
  absl::Status (*decode)(absl::string_view bytes, const DecodeLimits& limits,
                         const JpegRequest& request, Image& image);
};

// A decoder that gives the whole image, whatever is asked for.
template <absl::Status (*decode)(absl::string_view, const DecodeLimits&, Image&)>
absl::Status Whole(absl::string_view bytes, const DecodeLimits& limits, const JpegRequest&,
                   Image& image) {
  return decode(bytes, limits, image);
}

// A BMP's two letters begin many a text: the length of its header has to make sense as well.
bool IsBmp(absl::string_view bytes) {
  return absl::StartsWith(bytes, "BM") && bytes.size() >= 18 && bytes.substr(15, 3) == kThreeZeros;
}
bool IsTiff(absl::string_view bytes) {
  return absl::StartsWith(bytes, absl::string_view("II*\0", 4)) ||
         absl::StartsWith(bytes, absl::string_view("MM\0*", 4));
}
bool IsWebp(absl::string_view bytes) {
  return absl::StartsWith(bytes, "RIFF") && bytes.size() >= 12 && bytes.substr(8, 4) == "WEBP";
}

// In the order of ImageFormat.
constexpr std::array<Codec, 6> kCodecs = {{
    {ImageFormat::kJpeg, "jpeg",
     [](absl::string_view bytes) { return absl::StartsWith(bytes, "\xFF\xD8\xFF"); }, ReadJpegSize,
     DecodeJpeg},
    {ImageFormat::kPng, "png",
     [](absl::string_view bytes) { return absl::StartsWith(bytes, "\x89PNG\r\n\x1A\n"); },
     ReadPngSize, Whole<DecodePng>},
    {ImageFormat::kWebp, "webp", IsWebp, ReadWebpSize, Whole<DecodeWebp>},
    {ImageFormat::kGif, "gif",
     [](absl::string_view bytes) {
       return absl::StartsWith(bytes, "GIF87a") || absl::StartsWith(bytes, "GIF89a");
     },
     ReadGifSize, Whole<DecodeGif>},
    {ImageFormat::kBmp, "bmp", IsBmp, ReadBmpSize, Whole<DecodeBmp>},
    {ImageFormat::kTiff, "tiff", IsTiff, ReadTiffSize, Whole<DecodeTiff>},
}};

const Codec& CodecOf(ImageFormat format) { return kCodecs[static_cast<size_t>(format)]; }

ImageInfo Upright(ImageFormat format, const StoredSize& stored) {
  const bool swap = SwapsAxes(stored.orientation);
  return {format, swap ? stored.height : stored.width, swap ? stored.width : stored.height};
}

struct Opened {
  ImageFormat format;
  StoredSize stored;
};

absl::StatusOr<Opened> Open(absl::string_view bytes, const DecodeLimits& limits) {
  SEER_RETURN_IF_ERROR(CheckBytes(bytes, limits));
  SEER_ASSIGN_OR_RETURN(const ImageFormat format, SniffFormat(bytes));
  SEER_ASSIGN_OR_RETURN(const StoredSize stored, CodecOf(format).read_size(bytes, limits));
  return Opened{format, stored};
}

// 1, 2, 4 or 8, the largest for which `shrinks_to(denominator)` still suffices. The scales between
// (7/8, 3/4 ...) are left out: libjpeg-turbo has vector code for these four only, and the others
// cost more than the full size.
template <typename Suffices>
int LargestDenominator(const Suffices& suffices) {
  for (const int denominator : {8, 4, 2}) {
    if (suffices(denominator)) return denominator;
  }
  return 1;
}

absl::Status CheckSpec(const CropSpec& crop, const ImageInfo& info) {
  const CropBox& box = crop.box;
  if (!(box.width > 0 && box.height > 0 && box.x >= 0 && box.y >= 0 &&
        box.x + box.width <= info.width + 1e-6 && box.y + box.height <= info.height + 1e-6)) {
    return Error(absl::StatusCode::kInvalidArgument, reason::kOutOfRange,
                 absl::StrCat("crop box x=", box.x, " y=", box.y, " width=", box.width,
                              " height=", box.height, " is empty or reaches outside the ",
                              info.width, "x", info.height, " image"))
        .Field("box");
  }
  if (crop.size < 1 || crop.out == nullptr) {
    return Error(absl::StatusCode::kInvalidArgument, reason::kOutOfRange,
                 absl::StrCat("crop of size ", crop.size,
                              crop.out == nullptr ? " without an output" : ""))
        .Field("size");
  }
  return absl::OkStatus();
}

// `box` in pixels of an image reduced by `denominator`, whose last column or row may stand for
// fewer pixels.
CropBox ScaleBox(const CropBox& box, int denominator, const Image& image) {
  CropBox scaled = box;
  scaled.x /= denominator;
  scaled.y /= denominator;
  scaled.width = std::min(box.width / denominator, image.width - scaled.x);
  scaled.height = std::min(box.height / denominator, image.height - scaled.y);
  return scaled;
}

// Gives the pixels back after an image that is larger than a scratch may be.
struct ScratchTrimmer {
  DecodeScratch& scratch;
  ~ScratchTrimmer() {
    if (scratch.image.rgb.capacity() > kMaxScratchBytes) scratch.image = {};
  }
};

}  // namespace

absl::string_view FormatName(ImageFormat format) { return CodecOf(format).name; }

std::vector<absl::string_view> FormatNames() {
  std::vector<absl::string_view> names;
  for (const Codec& codec : kCodecs) names.push_back(codec.name);
  return names;
}

absl::StatusOr<ImageFormat> SniffFormat(absl::string_view bytes) {
  for (const Codec& codec : kCodecs) {
    if (codec.matches(bytes)) return codec.format;
  }
  return Error(absl::StatusCode::kInvalidArgument, reason::kUnknownFormat,
               "the first bytes are not those of a JPEG, PNG, WebP, GIF, BMP or TIFF image")
      .Hint("The file's name does not count. Convert the image, or leave it out of the source.");
}

absl::Status CheckSize(uint64_t width, uint64_t height, const DecodeLimits& limits) {
  if (width == 0 || height == 0) return CorruptImage("an edge is 0 pixels long");
  // No product is formed before both factors are known to be small.
  const auto limit = static_cast<uint64_t>(std::max<int64_t>(limits.max_pixels, 0));
  if (width <= 0x7FFFFFFF && height <= 0x7FFFFFFF && width * height <= limit)
    return absl::OkStatus();
  return Error(absl::StatusCode::kResourceExhausted, reason::kImageTooLarge,
               absl::StrCat("the image has ", width, "x", height, " pixels, the limit is ", limit))
      .Hint("Leave it out of the source, or store it smaller.")
      .With("width", absl::StrCat(width))
      .With("height", absl::StrCat(height))
      .With("limit", absl::StrCat(limit));
}

absl::Status TruncatedImage(absl::string_view what) {
  return Error(absl::StatusCode::kDataLoss, reason::kImageTruncated,
               absl::StrCat(what, ": the bytes end too early"))
      .Hint("Fetch the file again; its download or copy was cut off.");
}

absl::Status CorruptImage(absl::string_view what) {
  return Error(absl::StatusCode::kDataLoss, reason::kImageCorrupt, what)
      .Hint("Fetch the file again, or leave it out.");
}

absl::StatusOr<ImageInfo> ReadImageInfo(absl::string_view bytes, const DecodeLimits& limits) {
  SEER_ASSIGN_OR_RETURN(const Opened opened, Open(bytes, limits));
  return Upright(opened.format, opened.stored);
}

absl::StatusOr<Image> Decode(absl::string_view bytes, const DecodeOptions& options) {
  SEER_ASSIGN_OR_RETURN(const Opened opened, Open(bytes, options.limits));
  const ImageInfo info = Upright(opened.format, opened.stored);
  JpegRequest request;
  if (options.min_width > 0 && options.min_height > 0) {
    request.scale_denominator = LargestDenominator([&](int64_t denominator) {
      return info.width >= options.min_width * denominator &&
             info.height >= options.min_height * denominator;
    });
  }
  Image image;
  SEER_RETURN_IF_ERROR(CodecOf(opened.format).decode(bytes, options.limits, request, image));
  MakeUpright(opened.stored.orientation, image);
  return image;
}

absl::StatusOr<ImageInfo> DecodeAndCrop(absl::string_view bytes, absl::Span<const CropSpec> crops,
                                        const DecodeLimits& limits, DecodeScratch* scratch) {
  SEER_ASSIGN_OR_RETURN(const Opened opened, Open(bytes, limits));
  const ImageInfo info = Upright(opened.format, opened.stored);
  double bottom = 0;
  for (const CropSpec& crop : crops) {
    SEER_RETURN_IF_ERROR(CheckSpec(crop, info));
    bottom = std::max(bottom, crop.box.y + crop.box.height);
  }
  if (crops.empty()) return info;
  JpegRequest request;
  int scale = 1;
  if (opened.format == ImageFormat::kJpeg) {
    scale = LargestDenominator([&](double denominator) {
      return std::all_of(crops.begin(), crops.end(), [&](const CropSpec& crop) {
        return std::min(crop.box.width, crop.box.height) >= crop.size * denominator;
      });
    });
    request.scale_denominator = scale;
    // Only an image that is stored upright can be left early.
    if (opened.stored.orientation == 1) request.rows = static_cast<int>(std::ceil(bottom / scale));
  }
  DecodeScratch own;
  DecodeScratch& s = scratch != nullptr ? *scratch : own;
  const ScratchTrimmer trimmer{s};
  SEER_RETURN_IF_ERROR(CodecOf(opened.format).decode(bytes, limits, request, s.image));
  MakeUpright(opened.stored.orientation, s.image);
  for (const CropSpec& crop : crops) {
    SEER_RETURN_IF_ERROR(ResizeCrop(s.image, ScaleBox(crop.box, scale, s.image), crop.size,
                                    crop.out, &s.resample, crop.interpolation));
  }
  return info;
}

}  // namespace seer::dataservice
