// JPEG through libjpeg-turbo's libjpeg interface. The library reports errors by a callback that
// must not return, so the functions between setjmp and longjmp own nothing that has a destructor.
#include <algorithm>
#include <csetjmp>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <vector>

// jpeglib.h needs <cstddef> and <cstdio> above it, and jerror.h needs jpeglib.h: two blocks keep
// the order.
#include <jpeglib.h>

#include <jerror.h>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "dataservice/decode/codecs.h"
#include "dataservice/decode/orientation.h"

namespace seer::dataservice {
namespace {

// A hostile progressive file repeats scans, each of which costs a pass over the whole image. Real
// ones have about ten.
constexpr int kMaxScans = 100;

struct Session {
  jpeg_decompress_struct info;  // must be first: the callbacks find the session by its address
  jpeg_error_mgr errors;
  jpeg_progress_mgr progress;
  std::jmp_buf escape;
  bool truncated;  // the library asked for bytes past the end
  bool damaged;    // entropy-coded data made no sense
  bool too_many_scans;
  char message[JMSG_LENGTH_MAX];
};

Session& SessionOf(j_common_ptr info) { return *reinterpret_cast<Session*>(info); }

void OnError(j_common_ptr info) {
  Session& session = SessionOf(info);
  info->err->format_message(info, session.message);
  if (info->err->msg_code == JERR_INPUT_EOF || info->err->msg_code == JERR_INPUT_EMPTY)
    session.truncated = true;
  std::longjmp(session.escape, 1);
}

// Level -1 is a warning. Stray bytes between segments and odd marker versions are common and
// harmless; bad codes mean that the pixels from there on are noise.
void OnMessage(j_common_ptr info, int level) {
  if (level >= 0) return;
  Session& session = SessionOf(info);
  switch (info->err->msg_code) {
    case JWRN_JPEG_EOF:
      session.truncated = true;
      break;
    case JWRN_HUFF_BAD_CODE:
    case JWRN_HIT_MARKER:
    case JWRN_MUST_RESYNC:
    case JWRN_ARITH_BAD_CODE:
      if (!session.damaged && !session.truncated) info->err->format_message(info, session.message);
      session.damaged = true;
      break;
    default:
      break;
  }
}

void OnProgress(j_common_ptr info) {
  Session& session = SessionOf(info);
  if (session.info.input_scan_number <= kMaxScans) return;
  session.too_many_scans = true;
  std::snprintf(session.message, sizeof(session.message), "more than %d scans", kMaxScans);
  std::longjmp(session.escape, 1);
}

void Open(Session& session) {
  std::memset(&session, 0, sizeof(session));
  session.info.err = jpeg_std_error(&session.errors);
  session.errors.error_exit = OnError;
  session.errors.emit_message = OnMessage;
  session.errors.output_message = [](j_common_ptr) {};
  session.progress.progress_monitor = OnProgress;
}

// After Open, behind a setjmp: create, point at the bytes, read up to the first scan.
void ReadHeader(Session& session, absl::string_view bytes) {
  jpeg_create_decompress(&session.info);
  session.info.progress = &session.progress;
  jpeg_mem_src(&session.info, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
  jpeg_save_markers(&session.info, JPEG_APP0 + 1, 0xFFFF);
  jpeg_read_header(&session.info, TRUE);
}

absl::Status FailureOf(const Session& session) {
  if (session.truncated) return TruncatedImage("JPEG");
  return CorruptImage(absl::StrCat("JPEG: ", session.message));
}

int OrientationOf(const Session& session) {
  for (const jpeg_marker_struct* m = session.info.marker_list; m != nullptr; m = m->next) {
    if (m->marker != JPEG_APP0 + 1) continue;
    const absl::string_view data(reinterpret_cast<const char*>(m->data), m->data_length);
    if (data.substr(0, 4) == "Exif") return ExifOrientation(data);
  }
  return 1;
}

// libjpeg's colours for `components` that it cannot turn into RGB itself.
bool IsCmyk(const Session& session) {
  return session.info.jpeg_color_space == JCS_CMYK || session.info.jpeg_color_space == JCS_YCCK;
}

// Rows of inverted CMYK (as Adobe writes it: 255 is no ink) to RGB: product of the ink's and the
// black's share.
void CmykRowToRgb(const uint8_t* cmyk, int width, uint8_t* rgb) {
  for (int x = 0; x < width; ++x, cmyk += 4, rgb += 3) {
    for (int c = 0; c < 3; ++c) {
      const unsigned product = unsigned{cmyk[c]} * cmyk[3] + 128;
      rgb[c] = static_cast<uint8_t>((product + (product >> 8)) >> 8);  // / 255, rounded
    }
  }
}

// Huffman codes are one bit long at least, and every block has one in some scan. A header that
// claims more blocks than the file has bits would make a small file cost gigabytes; such a file
// lacks most of its data whatever the rest of it says. Arithmetic coding has no such bound.
bool HoldsItsBlocks(const Session& session, size_t bytes) {
  if (session.info.arith_code != FALSE) return true;
  uint64_t blocks = 0;
  for (int c = 0; c < session.info.num_components; ++c) {
    const jpeg_component_info& component = session.info.comp_info[c];
    blocks += uint64_t{component.width_in_blocks} * component.height_in_blocks;
  }
  return blocks <= uint64_t{bytes} * 8;
}

// Behind a setjmp: chooses the output and computes its size.
void Start(Session& session, const JpegRequest& request) {
  session.info.out_color_space = IsCmyk(session) ? JCS_CMYK : JCS_RGB;
  session.info.scale_num = 1;
  session.info.scale_denom = static_cast<unsigned>(request.scale_denominator);
  session.info.dct_method = JDCT_ISLOW;
  jpeg_start_decompress(&session.info);
}

// Behind a setjmp: `rows` rows into `rgb`; `line` holds a row of CMYK.
void ReadRows(Session& session, int rows, uint8_t* rgb, uint8_t* line) {
  const size_t stride = static_cast<size_t>(session.info.output_width) * 3;
  constexpr int kMostAtOnce = 8;
  JSAMPROW pointers[kMostAtOnce];
  while (session.info.output_scanline < static_cast<JDIMENSION>(rows)) {
    const int done = static_cast<int>(session.info.output_scanline);
    uint8_t* out = rgb + stride * done;
    if (line != nullptr) {
      pointers[0] = line;
      jpeg_read_scanlines(&session.info, pointers, 1);
      CmykRowToRgb(line, static_cast<int>(session.info.output_width), out);
      continue;
    }
    const int count = std::min(kMostAtOnce, rows - done);
    for (int i = 0; i < count; ++i) pointers[i] = out + stride * i;
    jpeg_read_scanlines(&session.info, pointers, static_cast<JDIMENSION>(count));
  }
}

// Each stage runs behind its own setjmp, so that no C++ object lives across a jump. False: it
// failed.
bool TryReadHeader(Session& session, absl::string_view bytes) {
  if (setjmp(session.escape) != 0) return false;
  ReadHeader(session, bytes);
  return true;
}
bool TryStart(Session& session, const JpegRequest& request) {
  if (setjmp(session.escape) != 0) return false;
  Start(session, request);
  return true;
}
bool TryReadRows(Session& session, int rows, uint8_t* rgb, uint8_t* line) {
  if (setjmp(session.escape) != 0) return false;
  ReadRows(session, rows, rgb, line);
  return true;
}
bool TryFinish(Session& session) {
  if (setjmp(session.escape) != 0) return false;
  jpeg_finish_decompress(&session.info);
  return true;
}

struct SessionCloser {
  Session& session;
  ~SessionCloser() { jpeg_destroy_decompress(&session.info); }
};

}  // namespace

absl::StatusOr<StoredSize> ReadJpegSize(absl::string_view bytes, const DecodeLimits& limits) {
  Session session;
  Open(session);
  const SessionCloser closer{session};
  if (!TryReadHeader(session, bytes)) return FailureOf(session);
  SEER_RETURN_IF_ERROR(CheckSize(session.info.image_width, session.info.image_height, limits));
  return StoredSize{static_cast<int>(session.info.image_width),
                    static_cast<int>(session.info.image_height), OrientationOf(session)};
}

absl::Status DecodeJpeg(absl::string_view bytes, const DecodeLimits& limits,
                        const JpegRequest& request, Image& image) {
  Session session;
  Open(session);
  const SessionCloser closer{session};
  if (!TryReadHeader(session, bytes)) return FailureOf(session);
  SEER_RETURN_IF_ERROR(CheckSize(session.info.image_width, session.info.image_height, limits));
  if (!HoldsItsBlocks(session, bytes.size())) return TruncatedImage("JPEG");
  if (!TryStart(session, request)) return FailureOf(session);
  const int full_rows = static_cast<int>(session.info.output_height);
  const bool whole = request.rows < 0 || request.rows >= full_rows;
  image.width = static_cast<int>(session.info.output_width);
  image.height = whole ? full_rows : request.rows;
  image.rgb.resize(static_cast<size_t>(image.width) * image.height * 3);
  std::vector<uint8_t> line(IsCmyk(session) ? static_cast<size_t>(image.width) * 4 : 0);
  if (!TryReadRows(session, image.height, image.rgb.data(), line.empty() ? nullptr : line.data())) {
    return FailureOf(session);
  }
  if (whole && !TryFinish(session)) return FailureOf(session);
  if (session.truncated || session.damaged) return FailureOf(session);
  return absl::OkStatus();
}

}  // namespace seer::dataservice
