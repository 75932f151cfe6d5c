// GIF through giflib: the first frame, on the logical screen as Pillow shows it. What follows the
// frame is not read.
#include <gif_lib.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "dataservice/decode/codecs.h"

namespace seer::dataservice {
namespace {

// A code of 12 bits stands for at most 4,096 pixels, a shorter one for far fewer. Pixels that the
// frame leaves blank are held to the same: a large screen around a small frame is no reason to
// hand out memory.
constexpr uint64_t kMaxPixelsPerByte = 4096 * 8 / 12 + 1;

struct Session {
  absl::string_view bytes;
  bool truncated = false;
  GifFileType* gif = nullptr;
  int transparent = NO_TRANSPARENT_COLOR;  // index of the frame's transparent colour
};

struct SessionCloser {
  Session& session;
  ~SessionCloser() {
    if (session.gif != nullptr) DGifCloseFile(session.gif, nullptr);
  }
};

int OnRead(GifFileType* gif, GifByteType* out, int length) {
  auto& session = *static_cast<Session*>(gif->UserData);
  const size_t count = std::min(session.bytes.size(), static_cast<size_t>(length));
  session.truncated = session.truncated || count < static_cast<size_t>(length);
  std::memcpy(out, session.bytes.data(), count);
  session.bytes.remove_prefix(count);
  return static_cast<int>(count);
}

absl::Status FailureOf(const Session& session, int error) {
  if (session.truncated) return TruncatedImage("GIF");
  if (error == D_GIF_ERR_NOT_ENOUGH_MEM) {
    return Error(absl::StatusCode::kResourceExhausted, reason::kOutOfMemory,
                 "no memory to decode a GIF image");
  }
  const char* text = GifErrorString(error);
  return CorruptImage(absl::StrCat("GIF: ", text != nullptr ? text : "unknown error"));
}

absl::Status FailureOf(const Session& session) { return FailureOf(session, session.gif->Error); }

// Reads one extension; of a graphics control the transparent colour is kept.
bool SkipExtension(Session& session) {
  int code = 0;
  GifByteType* block = nullptr;  // a length, then so many bytes
  if (DGifGetExtension(session.gif, &code, &block) == GIF_ERROR) return false;
  while (block != nullptr) {
    GraphicsControlBlock control;
    if (code == GRAPHICS_EXT_FUNC_CODE && block[0] == 4 &&
        DGifExtensionToGCB(block[0], block + 1, &control) == GIF_OK) {
      session.transparent = control.TransparentColor;
    }
    if (DGifGetExtensionNext(session.gif, &block) == GIF_ERROR) return false;
  }
  return true;
}

// Up to the descriptor of the first frame, which gif->Image then is.
absl::Status FindFrame(Session& session, absl::string_view bytes) {
  session.bytes = bytes;
  int error = 0;
  session.gif = DGifOpen(&session, OnRead, &error);
  if (session.gif == nullptr) return FailureOf(session, error);
  while (true) {
    GifRecordType type = UNDEFINED_RECORD_TYPE;
    if (DGifGetRecordType(session.gif, &type) == GIF_ERROR) return FailureOf(session);
    if (type == TERMINATE_RECORD_TYPE) return CorruptImage("GIF: it has no frame");
    if (type == EXTENSION_RECORD_TYPE && !SkipExtension(session)) return FailureOf(session);
    if (type != IMAGE_DESC_RECORD_TYPE) continue;
    return DGifGetImageDesc(session.gif) == GIF_ERROR ? FailureOf(session) : absl::OkStatus();
  }
}

// The screen, larger where the frame reaches past it.
absl::StatusOr<StoredSize> CheckedSize(const Session& session, absl::string_view bytes,
                                       const DecodeLimits& limits) {
  const GifImageDesc& frame = session.gif->Image;
  const int width = std::max(session.gif->SWidth, frame.Left + frame.Width);
  const int height = std::max(session.gif->SHeight, frame.Top + frame.Height);
  if (frame.Width == 0 || frame.Height == 0) return CorruptImage("GIF: an edge is 0 pixels long");
  SEER_RETURN_IF_ERROR(
      CheckSize(static_cast<uint64_t>(width), static_cast<uint64_t>(height), limits));
  if (static_cast<uint64_t>(width) * height > bytes.size() * kMaxPixelsPerByte)
    return TruncatedImage("GIF");
  return StoredSize{width, height, 1};
}

// The colours of all 256 indices: what the map lacks is black; without a map an index is a grey.
std::vector<uint8_t> PaletteOf(const GifFileType& gif) {
  const ColorMapObject* map = gif.Image.ColorMap != nullptr ? gif.Image.ColorMap : gif.SColorMap;
  std::vector<uint8_t> palette(256 * 3, 0);
  for (int i = 0; i < 256; ++i) {
    uint8_t* color = palette.data() + i * 3;
    if (map == nullptr) std::fill_n(color, 3, static_cast<uint8_t>(i));
    if (map == nullptr || i >= map->ColorCount) continue;
    color[0] = map->Colors[i].Red;
    color[1] = map->Colors[i].Green;
    color[2] = map->Colors[i].Blue;
  }
  return palette;
}

// The rows of an interlaced frame come in four passes.
std::vector<int> RowOrder(const GifImageDesc& frame) {
  struct Pass {
    int first, step;
  };
  std::vector<int> rows;
  for (const Pass pass : frame.Interlace ? std::vector<Pass>{{0, 8}, {4, 8}, {2, 4}, {1, 2}}
                                         : std::vector<Pass>{{0, 1}}) {
    for (int y = pass.first; y < frame.Height; y += pass.step) rows.push_back(y);
  }
  return rows;
}

}  // namespace

absl::StatusOr<StoredSize> ReadGifSize(absl::string_view bytes, const DecodeLimits& limits) {
  Session session;
  const SessionCloser closer{session};
  SEER_RETURN_IF_ERROR(FindFrame(session, bytes));
  return CheckedSize(session, bytes, limits);
}

absl::Status DecodeGif(absl::string_view bytes, const DecodeLimits& limits, Image& image) {
  Session session;
  const SessionCloser closer{session};
  SEER_RETURN_IF_ERROR(FindFrame(session, bytes));
  SEER_ASSIGN_OR_RETURN(const StoredSize size, CheckedSize(session, bytes, limits));
  image.width = size.width;
  image.height = size.height;
  image.rgb.resize(static_cast<size_t>(image.width) * image.height * 3);
  const std::vector<uint8_t> palette = PaletteOf(*session.gif);
  const uint8_t* blank = palette.data() + std::max(session.transparent, 0) % 256 * 3;
  const GifImageDesc frame = session.gif->Image;
  if (frame.Width < image.width || frame.Height < image.height) {
    for (size_t i = 0; i < image.rgb.size(); i += 3) std::memcpy(&image.rgb[i], blank, 3);
  }
  std::vector<GifPixelType> line(static_cast<size_t>(frame.Width));
  for (const int y : RowOrder(frame)) {
    if (DGifGetLine(session.gif, line.data(), frame.Width) == GIF_ERROR) return FailureOf(session);
    uint8_t* out =
        image.rgb.data() + (static_cast<size_t>(frame.Top + y) * image.width + frame.Left) * 3;
    for (const GifPixelType index : line) {
      std::memcpy(out, palette.data() + size_t{index} * 3, 3);
      out += 3;
    }
  }
  return absl::OkStatus();
}

}  // namespace seer::dataservice
