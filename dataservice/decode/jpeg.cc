#include <csetjmp>
#include <cstdio>

#include <jpeglib.h>
#include <jerror.h>

#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "dataservice/decode/formats.h"

namespace seer::dataservice {
namespace {

constexpr int kExifMarker = JPEG_APP0 + 1;

// libjpeg's errors leave by longjmp; nothing with a destructor may live between the jump and its target.
struct ErrorState {
  jpeg_error_mgr manager;
  jmp_buf jump;
  char message[JMSG_LENGTH_MAX] = "";
  bool truncated = false;
  bool corrupt = false;
};

void OnError(j_common_ptr info) {
  auto* state = reinterpret_cast<ErrorState*>(info->err);
  info->err->format_message(info, state->message);
  state->truncated = state->truncated || info->err->msg_code == JERR_INPUT_EOF || info->err->msg_code == JERR_INPUT_EMPTY;
  longjmp(state->jump, 1);
}

void OnMessage(j_common_ptr info, int level) {
  if (level >= 0) return;  // a trace
  auto* state = reinterpret_cast<ErrorState*>(info->err);
  const int code = info->err->msg_code;
  if (code == JWRN_JPEG_EOF) state->truncated = true;
  if (code == JWRN_HIT_MARKER || code == JWRN_HUFF_BAD_CODE || code == JWRN_BOGUS_PROGRESSION) state->corrupt = true;
  if (state->message[0] == 0) info->err->format_message(info, state->message);
}

class Decompressor {
 public:
  explicit Decompressor(absl::string_view bytes) : bytes_(bytes) {
    info_.err = jpeg_std_error(&error_.manager);
    error_.manager.error_exit = &OnError;
    error_.manager.emit_message = &OnMessage;
  }
  ~Decompressor() { jpeg_destroy_decompress(&info_); }

  absl::StatusOr<StoredInfo> ReadInfo() {
    if (setjmp(error_.jump) != 0) return Failed();
    Begin();
    return StoredInfo{static_cast<int>(info_.image_width), static_cast<int>(info_.image_height), Orientation()};
  }

  absl::Status Decode(const StoredDecode& options, Image& image) {
    if (setjmp(error_.jump) != 0) return Failed();
    Begin();
    info_.scale_num = static_cast<unsigned>(options.scale_eighths);
    info_.scale_denom = 8;
    const bool cmyk = info_.num_components == 4;
    info_.out_color_space = cmyk ? JCS_CMYK : JCS_RGB;
    jpeg_start_decompress(&info_);
    image.width = static_cast<int>(info_.output_width);
    image.height = static_cast<int>(info_.output_height);
    const size_t stride = size_t{3} * info_.output_width;
    image.rgb.resize(stride * info_.output_height);
    if (cmyk) line_.resize(size_t{4} * info_.output_width);
    const auto rows = options.rows < 0 ? info_.output_height : std::min<JDIMENSION>(info_.output_height, static_cast<JDIMENSION>(options.rows));
    while (info_.output_scanline < rows) {
      uint8_t* row = image.rgb.data() + stride * info_.output_scanline;
      JSAMPROW target = cmyk ? line_.data() : row;
      jpeg_read_scanlines(&info_, &target, 1);
      if (cmyk) FromCmyk(row);
    }
    if (rows == info_.output_height) {
      jpeg_finish_decompress(&info_);
    } else {
      jpeg_abort_decompress(&info_);
    }
    if (error_.truncated || error_.corrupt) return Failed();
    return absl::OkStatus();
  }

 private:
  void Begin() {
    jpeg_create_decompress(&info_);
    jpeg_mem_src(&info_, reinterpret_cast<const unsigned char*>(bytes_.data()), bytes_.size());
    jpeg_save_markers(&info_, kExifMarker, 0xFFFF);
    jpeg_read_header(&info_, TRUE);
  }

  int Orientation() const {
    for (jpeg_saved_marker_ptr marker = info_.marker_list; marker != nullptr; marker = marker->next) {
      const absl::string_view data(reinterpret_cast<const char*>(marker->data), marker->data_length);
      if (marker->marker == kExifMarker && data.size() > 6 && data.substr(0, 4) == "Exif") return OrientationOf(data.substr(6));
    }
    return 1;
  }

  // Four channels are taken for Adobe's, which are stored inverted.
  void FromCmyk(uint8_t* row) const {
    for (size_t i = 0; i < info_.output_width; ++i) {
      const int k = line_[4 * i + 3];
      for (size_t c = 0; c < 3; ++c) row[3 * i + c] = static_cast<uint8_t>((line_[4 * i + c] * k + 127) / 255);
    }
  }

  absl::Status Failed() const { return error_.truncated ? TruncatedImage("JPEG", error_.message) : CorruptImage("JPEG", error_.message); }

  const absl::string_view bytes_;
  jpeg_decompress_struct info_{};
  ErrorState error_;
  std::vector<uint8_t> line_;
};

}  // namespace

absl::StatusOr<StoredInfo> ReadJpegInfo(absl::string_view bytes) { return Decompressor(bytes).ReadInfo(); }
absl::Status DecodeJpeg(absl::string_view bytes, const StoredDecode& options, Image& image) { return Decompressor(bytes).Decode(options, image); }

}  // namespace seer::dataservice
