#include <png.h>

#include <csetjmp>
#include <cstring>
#include <vector>

#include "dataservice/decode/formats.h"

namespace seer::dataservice {
namespace {

class Reader {
 public:
  explicit Reader(absl::string_view bytes) : bytes_(bytes) {
    png_ = png_create_read_struct(PNG_LIBPNG_VER_STRING, this, &OnError, [](png_structp, png_const_charp) {});
    info_ = png_create_info_struct(png_);
    png_set_read_fn(png_, this, &OnRead);
    // The caller has its own limit on pixels; these bound what auxiliary chunks may take.
    png_set_user_limits(png_, 0x7fffffff, 0x7fffffff);
    png_set_chunk_malloc_max(png_, 8 << 20);
  }
  ~Reader() { png_destroy_read_struct(&png_, &info_, nullptr); }

  absl::StatusOr<StoredInfo> ReadInfo() {
    if (setjmp(png_jmpbuf(png_)) != 0) return Failed();
    png_read_info(png_, info_);
    StoredInfo info{static_cast<int>(png_get_image_width(png_, info_)), static_cast<int>(png_get_image_height(png_, info_)), 1};
    png_uint_32 size = 0;
    png_bytep exif = nullptr;
    if (png_get_eXIf_1(png_, info_, &size, &exif) != 0) info.orientation = OrientationOf({reinterpret_cast<const char*>(exif), size});
    return info;
  }

  absl::Status Decode(Image& image) {
    if (setjmp(png_jmpbuf(png_)) != 0) return Failed();
    png_read_info(png_, info_);
    image.width = static_cast<int>(png_get_image_width(png_, info_));
    image.height = static_cast<int>(png_get_image_height(png_, info_));
    png_set_expand(png_);       // palettes, less than 8 bits
    png_set_strip_16(png_);
    png_set_gray_to_rgb(png_);
    png_set_strip_alpha(png_);
    const int passes = png_set_interlace_handling(png_);
    png_read_update_info(png_, info_);
    if (png_get_rowbytes(png_, info_) != size_t{3} * image.width) png_error(png_, "unexpected row size");
    image.rgb.resize(size_t{3} * image.width * image.height);
    for (int pass = 0; pass < passes; ++pass) {
      for (int y = 0; y < image.height; ++y) png_read_row(png_, image.rgb.data() + size_t{3} * image.width * y, nullptr);
    }
    png_read_end(png_, nullptr);
    return absl::OkStatus();
  }

 private:
  static void OnError(png_structp png, png_const_charp message) {
    auto* self = static_cast<Reader*>(png_get_error_ptr(png));
    std::strncpy(self->message_, message, sizeof(self->message_) - 1);
    png_longjmp(png, 1);
  }
  static void OnRead(png_structp png, png_bytep to, size_t size) {
    auto* self = static_cast<Reader*>(png_get_io_ptr(png));
    if (self->bytes_.size() - self->read_ < size) {
      self->truncated_ = true;
      png_error(png, "the bytes end too early");
    }
    std::memcpy(to, self->bytes_.data() + self->read_, size);
    self->read_ += size;
  }
  absl::Status Failed() const { return truncated_ ? TruncatedImage("PNG", message_) : CorruptImage("PNG", message_); }

  const absl::string_view bytes_;
  png_structp png_ = nullptr;
  png_infop info_ = nullptr;
  size_t read_ = 0;
  bool truncated_ = false;
  char message_[128] = "";
};

}  // namespace

absl::StatusOr<StoredInfo> ReadPngInfo(absl::string_view bytes) { return Reader(bytes).ReadInfo(); }
absl::Status DecodePng(absl::string_view bytes, Image& image) { return Reader(bytes).Decode(image); }

}  // namespace seer::dataservice
