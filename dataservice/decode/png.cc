// PNG through libpng. As with JPEG, errors jump: functions between setjmp and longjmp own nothing
// with a destructor.
#include <csetjmp>
#include <cstdio>
#include <cstring>
#include <vector>

#include <png.h>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "dataservice/decode/codecs.h"
#include "dataservice/decode/orientation.h"

namespace seer::dataservice {
namespace {

struct Session {
  absl::string_view bytes;
  size_t position = 0;
  bool truncated = false;
  char message[128] = "";
  png_structp png = nullptr;
  png_infop info = nullptr;
};

void OnRead(png_structp png, png_bytep out, size_t length) {
  auto& session = *static_cast<Session*>(png_get_io_ptr(png));
  if (session.bytes.size() - session.position < length) {
    session.truncated = true;
    png_error(png, "out of bytes");
  }
  std::memcpy(out, session.bytes.data() + session.position, length);
  session.position += length;
}

void OnError(png_structp png, png_const_charp message) {
  auto& session = *static_cast<Session*>(png_get_error_ptr(png));
  std::snprintf(session.message, sizeof(session.message), "%s", message);
  png_longjmp(png, 1);
}

struct SessionCloser {
  Session& session;
  ~SessionCloser() { png_destroy_read_struct(&session.png, &session.info, nullptr); }
};

absl::Status FailureOf(const Session& session) {
  if (session.truncated) return TruncatedImage("PNG");
  return CorruptImage(absl::StrCat("PNG: ", session.message));
}

// False: out of memory.
bool Open(Session& session) {
  session.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &session, OnError,
                                       [](png_structp, png_const_charp) {});
  if (session.png == nullptr) return false;
  session.info = png_create_info_struct(session.png);
  if (session.info == nullptr) return false;
  png_set_read_fn(session.png, &session, OnRead);
  png_set_user_limits(session.png, 0x7FFFFFFF, 0x7FFFFFFF);  // CheckSize decides
  return true;
}

bool TryReadHeader(Session& session) {
  if (setjmp(png_jmpbuf(session.png)) != 0) return false;
  png_read_info(session.png, session.info);
  return true;
}

// Asks for 8-bit RGB whatever is stored. False: it failed.
bool TryTransform(Session& session) {
  if (setjmp(png_jmpbuf(session.png)) != 0) return false;
  png_set_strip_16(session.png);
  png_set_expand(session.png);  // palettes, grey below 8 bits
  png_set_gray_to_rgb(session.png);
  png_set_strip_alpha(session.png);
  png_set_interlace_handling(session.png);
  png_read_update_info(session.png, session.info);
  return true;
}

bool TryReadRows(Session& session, png_bytepp rows) {
  if (setjmp(png_jmpbuf(session.png)) != 0) return false;
  png_read_image(session.png, rows);
  png_read_end(session.png, session.info);
  return true;
}

int OrientationOf(Session& session) {
#ifdef PNG_eXIf_SUPPORTED
  png_bytep exif = nullptr;
  png_uint_32 length = 0;
  if (png_get_eXIf_1(session.png, session.info, &length, &exif) == PNG_INFO_eXIf &&
      exif != nullptr) {
    return ExifOrientation(absl::string_view(reinterpret_cast<const char*>(exif), length));
  }
#endif
  return 1;
}

// Deflate packs 1032 bytes into one at best. A header that claims more than the file can hold would
// make a small file cost half a gigabyte before it is found to be cut off.
bool HoldsItsRows(const Session& session, size_t packed_row_bytes) {
  const uint64_t rows = png_get_image_height(session.png, session.info);
  return rows * packed_row_bytes <= uint64_t{session.bytes.size()} * 1032;
}

// Whether a chunk claims more bytes than follow: libpng takes an eXIf chunk's memory before it
// looks for them. Pixels may be cut off here; reading them shows it.
bool ChunksEndEarly(absl::string_view bytes) {
  for (size_t at = 8; bytes.size() - at >= 12;) {
    const size_t length = png_get_uint_32(reinterpret_cast<const png_byte*>(bytes.data()) + at);
    if (length > bytes.size() - at - 12) return bytes.substr(at + 4, 4) != "IDAT";
    at += 12 + length;
  }
  return false;
}

absl::Status ReadHeader(Session& session, const DecodeLimits& limits) {
  // IHDR always comes first, so its sizes can be judged before libpng sees a byte.
  constexpr size_t kSizesAt = 16;
  if (session.bytes.size() < kSizesAt + 8) return TruncatedImage("PNG");
  const auto* ihdr = reinterpret_cast<const png_byte*>(session.bytes.data()) + kSizesAt;
  SEER_RETURN_IF_ERROR(CheckSize(png_get_uint_32(ihdr), png_get_uint_32(ihdr + 4), limits));
  if (ChunksEndEarly(session.bytes)) return TruncatedImage("PNG");
  if (!Open(session)) {
    return Error(absl::StatusCode::kResourceExhausted, reason::kOutOfMemory,
                 "no memory for a PNG decoder");
  }
  if (!TryReadHeader(session)) return FailureOf(session);
  return CheckSize(png_get_image_width(session.png, session.info),
                   png_get_image_height(session.png, session.info), limits);
}

}  // namespace

absl::StatusOr<StoredSize> ReadPngSize(absl::string_view bytes, const DecodeLimits& limits) {
  Session session;
  session.bytes = bytes;
  const SessionCloser closer{session};
  SEER_RETURN_IF_ERROR(ReadHeader(session, limits));
  return StoredSize{static_cast<int>(png_get_image_width(session.png, session.info)),
                    static_cast<int>(png_get_image_height(session.png, session.info)),
                    OrientationOf(session)};
}

absl::Status DecodePng(absl::string_view bytes, const DecodeLimits& limits, Image& image) {
  Session session;
  session.bytes = bytes;
  const SessionCloser closer{session};
  SEER_RETURN_IF_ERROR(ReadHeader(session, limits));
  const size_t packed_row_bytes = png_get_rowbytes(session.png, session.info);
  if (!TryTransform(session)) return FailureOf(session);
  image.width = static_cast<int>(png_get_image_width(session.png, session.info));
  image.height = static_cast<int>(png_get_image_height(session.png, session.info));
  const size_t stride = static_cast<size_t>(image.width) * 3;
  if (!HoldsItsRows(session, packed_row_bytes)) return TruncatedImage("PNG");
  if (png_get_rowbytes(session.png, session.info) != stride)
    return CorruptImage("PNG: unexpected row size");
  image.rgb.resize(stride * image.height);
  std::vector<png_bytep> rows(image.height);
  for (size_t y = 0; y < rows.size(); ++y) rows[y] = image.rgb.data() + stride * y;
  if (!TryReadRows(session, rows.data())) return FailureOf(session);
  return absl::OkStatus();
}

}  // namespace seer::dataservice
