// TIFF through libtiff: the first page, in strips or tiles, of the kinds that photographs come in.
// Compressions that libtiff knows beyond kCompressions are refused: they are rare, and some pack
// any number of pixels into a few bytes.
#include <tiffio.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <memory>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "dataservice/decode/codecs.h"

namespace seer::dataservice {
namespace {

// How many bytes of samples a byte of the file can stand for, at most.
struct Compression {
  uint16_t tag;
  uint64_t most;
};
constexpr std::array<Compression, 6> kCompressions = {{
    {COMPRESSION_NONE, 1},
    {COMPRESSION_PACKBITS, 64},         // two bytes give 128
    {COMPRESSION_LZW, 4096 * 8 / 9},    // a code of at least 9 bits gives 4,096
    {COMPRESSION_ADOBE_DEFLATE, 1032},  // as PNG
    {COMPRESSION_DEFLATE, 1032},
    {COMPRESSION_JPEG, 8 * 64 * 6},  // a bit a block of 64, four of luma with one of each colour
}};
constexpr int64_t kMaxBlockPixels = int64_t{64} << 20;  // of a strip, or of a row of tiles
constexpr tmsize_t kMaxAllocation = tmsize_t{256} << 20;

struct Session {
  absl::string_view bytes;
  uint64_t position = 0;
  char message[160] = "";
  TIFF* tiff = nullptr;
};

struct SessionCloser {
  Session& session;
  ~SessionCloser() {
    if (session.tiff != nullptr) TIFFClose(session.tiff);
  }
};

Session& SessionOf(thandle_t handle) { return *static_cast<Session*>(handle); }

tmsize_t OnRead(thandle_t handle, void* out, tmsize_t length) {
  Session& session = SessionOf(handle);
  if (length < 0 || session.position >= session.bytes.size()) return 0;
  const size_t count =
      std::min(static_cast<size_t>(length), session.bytes.size() - session.position);
  std::memcpy(out, session.bytes.data() + session.position, count);
  session.position += count;
  return static_cast<tmsize_t>(count);
}

toff_t OnSeek(thandle_t handle, toff_t offset, int whence) {
  Session& session = SessionOf(handle);
  if (whence == SEEK_CUR) offset += session.position;
  if (whence == SEEK_END) offset += session.bytes.size();
  session.position = offset;
  return offset;
}

// libtiff reads strips straight out of these bytes; it does not write to a file opened with "r".
int OnMap(thandle_t handle, void** base, toff_t* size) {
  Session& session = SessionOf(handle);
  *base = const_cast<char*>(session.bytes.data());
  *size = session.bytes.size();
  return 1;
}

// 1: the message is dealt with, and not printed.
int OnError(TIFF*, void* user, const char* module, const char* format, va_list arguments) {
  auto& session = *static_cast<Session*>(user);
  if (session.message[0] == '\0')
    std::vsnprintf(session.message, sizeof(session.message), format, arguments);
  return 1;
}
int OnWarning(TIFF*, void*, const char*, const char*, va_list) { return 1; }

absl::Status Unsupported(absl::string_view what) {
  return Error(absl::StatusCode::kInvalidArgument, reason::kUnknownFormat,
               absl::StrCat("a TIFF image ", what, " is not read"))
      .Hint("Convert the image, or leave it out of the source.");
}

absl::Status FailureOf(const Session& session) {
  return CorruptImage(
      absl::StrCat("TIFF: ", session.message[0] != '\0' ? session.message : "it cannot be read"));
}

// Whether the first directory, or with `values` what its tags point at, lies past the end.
bool EndsBeforeDirectory(absl::string_view bytes, bool values) {
  const bool big_endian = bytes[0] == 'M';
  const auto number = [&](uint64_t at, int count) {
    uint64_t value = 0;
    for (int i = 0; i < count; ++i) {
      const auto byte = uint64_t{static_cast<uint8_t>(bytes[at + i])};
      value |= byte << (8 * (big_endian ? count - 1 - i : i));
    }
    return value;
  };
  if (bytes.size() < 8) return true;
  const uint64_t directory = number(4, 4);
  if (directory + 2 > bytes.size()) return true;
  const uint64_t tags = number(directory, 2);
  if (directory + 2 + tags * 12 + 4 > bytes.size()) return true;
  // Bytes of a value of each type, from 0.
  constexpr std::array<uint64_t, 14> kSizes = {0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4};
  for (uint64_t i = 0; values && i < tags; ++i) {
    const uint64_t at = directory + 2 + i * 12;
    const uint64_t type = number(at + 2, 2);
    const uint64_t size = type < kSizes.size() ? kSizes[type] * number(at + 4, 4) : 0;
    if (size > 4 && number(at + 8, 4) + size > bytes.size()) return true;
  }
  return false;
}

absl::Status Open(Session& session, absl::string_view bytes) {
  session.bytes = bytes;
  if (EndsBeforeDirectory(bytes, false)) return TruncatedImage("TIFF");
  const std::unique_ptr<TIFFOpenOptions, decltype(&TIFFOpenOptionsFree)> options(
      TIFFOpenOptionsAlloc(), TIFFOpenOptionsFree);
  if (options == nullptr) {
    return Error(absl::StatusCode::kResourceExhausted, reason::kOutOfMemory,
                 "no memory for a TIFF decoder");
  }
  TIFFOpenOptionsSetErrorHandlerExtR(options.get(), OnError, &session);
  TIFFOpenOptionsSetWarningHandlerExtR(options.get(), OnWarning, nullptr);
  TIFFOpenOptionsSetMaxSingleMemAlloc(options.get(), kMaxAllocation);
  session.tiff = TIFFClientOpenExt(
      "image", "r", &session, OnRead, [](thandle_t, void*, tmsize_t) { return tmsize_t{0}; },
      OnSeek, [](thandle_t) { return 0; },
      [](thandle_t handle) { return toff_t{SessionOf(handle).bytes.size()}; }, OnMap,
      [](thandle_t, void*, toff_t) {}, options.get());
  if (session.tiff != nullptr) return absl::OkStatus();
  return EndsBeforeDirectory(bytes, true) ? TruncatedImage("TIFF") : FailureOf(session);
}

template <typename T>
T Tag(TIFF* tiff, uint32_t tag) {
  T value = 0;
  TIFFGetFieldDefaulted(tiff, tag, &value);
  return value;
}

// The kind of image, checked.
struct Layout {
  StoredSize size;
  bool tiled = false;
  uint32_t block_rows = 0;    // of a strip, or of a tile
  uint64_t sample_bytes = 0;  // of all strips or tiles, unpacked
  uint64_t most = 0;          // of sample_bytes for a byte of the file
};

absl::StatusOr<Layout> ReadLayout(Session& session, const DecodeLimits& limits) {
  TIFF* tiff = session.tiff;
  Layout layout;
  const auto width = Tag<uint32_t>(tiff, TIFFTAG_IMAGEWIDTH);
  const auto height = Tag<uint32_t>(tiff, TIFFTAG_IMAGELENGTH);
  SEER_RETURN_IF_ERROR(CheckSize(width, height, limits));
  layout.size = {static_cast<int>(width), static_cast<int>(height),
                 Tag<uint16_t>(tiff, TIFFTAG_ORIENTATION)};
  const auto compression = Tag<uint16_t>(tiff, TIFFTAG_COMPRESSION);
  const auto* known = std::find_if(kCompressions.begin(), kCompressions.end(),
                                   [&](const Compression& c) { return c.tag == compression; });
  if (known == kCompressions.end())
    return Unsupported(absl::StrCat("of compression ", compression));
  layout.most = known->most;
  const auto bits = Tag<uint16_t>(tiff, TIFFTAG_BITSPERSAMPLE);
  const auto samples = Tag<uint16_t>(tiff, TIFFTAG_SAMPLESPERPIXEL);
  const auto kind = Tag<uint16_t>(tiff, TIFFTAG_SAMPLEFORMAT);
  if (bits > 16 || samples < 1 || samples > 5 || kind != SAMPLEFORMAT_UINT) {
    return Unsupported(
        absl::StrCat("of ", samples, " samples of ", bits, " bits and format ", kind));
  }
  layout.tiled = TIFFIsTiled(tiff) != 0;
  layout.block_rows = layout.tiled ? Tag<uint32_t>(tiff, TIFFTAG_TILELENGTH)
                                   : Tag<uint32_t>(tiff, TIFFTAG_ROWSPERSTRIP);
  layout.block_rows = std::min(layout.block_rows, height);
  const uint64_t block_bytes = layout.tiled ? TIFFTileSize64(tiff) : TIFFStripSize64(tiff);
  const uint64_t blocks = layout.tiled ? TIFFNumberOfTiles(tiff) : TIFFNumberOfStrips(tiff);
  if (layout.block_rows == 0 || block_bytes == 0 || blocks == 0) return FailureOf(session);
  if (block_bytes > static_cast<uint64_t>(kMaxAllocation) ||
      int64_t{layout.block_rows} * width > kMaxBlockPixels) {
    return Error(absl::StatusCode::kResourceExhausted, reason::kImageTooLarge,
                 absl::StrCat("TIFF: a strip or tile of ", block_bytes, " bytes"))
        .Hint("Store it in smaller strips, or leave it out of the source.");
  }
  const bool planes = Tag<uint16_t>(tiff, TIFFTAG_PLANARCONFIG) == PLANARCONFIG_SEPARATE;
  layout.sample_bytes =
      layout.tiled ? blocks * block_bytes : TIFFVStripSize64(tiff, height) * (planes ? samples : 1);
  return layout;
}

// The strips and tiles lie within the bytes, and can hold what they stand for.
absl::Status CheckBlocks(Session& session, const Layout& layout) {
  TIFF* tiff = session.tiff;
  const uint32_t blocks = layout.tiled ? TIFFNumberOfTiles(tiff) : TIFFNumberOfStrips(tiff);
  uint64_t packed = 0;
  for (uint32_t i = 0; i < blocks; ++i) {
    const uint64_t offset = TIFFGetStrileOffset(tiff, i);
    const uint64_t count = TIFFGetStrileByteCount(tiff, i);
    if (offset > session.bytes.size() || count > session.bytes.size() - offset)
      return TruncatedImage("TIFF");
    packed += count;
  }
  if (layout.sample_bytes > std::min<uint64_t>(packed, session.bytes.size()) * layout.most)
    return TruncatedImage("TIFF");
  return absl::OkStatus();
}

// libtiff multiplies colours with an alpha that it is told is not multiplied in; they stay as they
// are stored if it is told that it is.
void KeepColors(TIFF* tiff) {
  uint16_t count = 0;
  uint16_t* kinds = nullptr;
  if (TIFFGetField(tiff, TIFFTAG_EXTRASAMPLES, &count, &kinds) == 0 || count == 0) return;
  std::vector<uint16_t> stored(kinds, kinds + count);
  std::replace(stored.begin(), stored.end(), uint16_t{EXTRASAMPLE_UNASSALPHA},
               uint16_t{EXTRASAMPLE_ASSOCALPHA});
  TIFFSetField(tiff, TIFFTAG_EXTRASAMPLES, static_cast<int>(count), stored.data());
}

struct Reader {
  TIFFRGBAImage rgba{};
  bool open = false;
  ~Reader() {
    if (open) TIFFRGBAImageEnd(&rgba);
  }
};

}  // namespace

absl::StatusOr<StoredSize> ReadTiffSize(absl::string_view bytes, const DecodeLimits& limits) {
  Session session;
  const SessionCloser closer{session};
  SEER_RETURN_IF_ERROR(Open(session, bytes));
  SEER_ASSIGN_OR_RETURN(const Layout layout, ReadLayout(session, limits));
  return layout.size;
}

absl::Status DecodeTiff(absl::string_view bytes, const DecodeLimits& limits, Image& image) {
  Session session;
  const SessionCloser closer{session};
  SEER_RETURN_IF_ERROR(Open(session, bytes));
  SEER_ASSIGN_OR_RETURN(const Layout layout, ReadLayout(session, limits));
  SEER_RETURN_IF_ERROR(CheckBlocks(session, layout));
  KeepColors(session.tiff);
  char why[1024] = "";
  if (TIFFRGBAImageOK(session.tiff, why) == 0) return Unsupported(absl::StrCat("(", why, ")"));
  Reader reader;
  reader.open = TIFFRGBAImageBegin(&reader.rgba, session.tiff, 1, why) != 0;
  if (!reader.open) return FailureOf(session);
  reader.rgba.req_orientation = reader.rgba.orientation;  // rows as stored
  image.width = layout.size.width;
  image.height = layout.size.height;
  image.rgb.resize(static_cast<size_t>(image.width) * image.height * 3);
  std::vector<uint32_t> block(static_cast<size_t>(image.width) * layout.block_rows);
  uint8_t* out = image.rgb.data();
  for (int row = 0; row < image.height; row += static_cast<int>(layout.block_rows)) {
    const int rows = std::min(static_cast<int>(layout.block_rows), image.height - row);
    reader.rgba.row_offset = row;
    if (TIFFRGBAImageGet(&reader.rgba, block.data(), layout.size.width, rows) == 0)
      return FailureOf(session);
    for (size_t i = 0; i < static_cast<size_t>(image.width) * rows; ++i, out += 3) {
      out[0] = static_cast<uint8_t>(TIFFGetR(block[i]));
      out[1] = static_cast<uint8_t>(TIFFGetG(block[i]));
      out[2] = static_cast<uint8_t>(TIFFGetB(block[i]));
    }
  }
  return absl::OkStatus();
}

}  // namespace seer::dataservice
