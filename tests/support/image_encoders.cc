#include "tests/support/image_encoders.h"

#include <cstdio>

#include <jpeglib.h>
#include <png.h>
#include <webp/encode.h>

#include <cstdlib>

#include "common/base/check.h"

namespace seer::testing {
namespace {

void AppendLittle(std::string& out, uint32_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) out.push_back(static_cast<char>(value >> (8 * i)));
}

std::string RiffChunk(const std::string& name, const std::string& data) {
  std::string chunk = name;
  AppendLittle(chunk, static_cast<uint32_t>(data.size()), 4);
  chunk += data;
  if (data.size() % 2 != 0) chunk.push_back('\0');
  return chunk;
}

void SetUpJpeg(jpeg_compress_struct& info, const JpegOptions& options) {
  info.input_components = options.components;
  info.in_color_space = options.components == 1   ? JCS_GRAYSCALE
                        : options.components == 3 ? JCS_RGB
                                                  : JCS_CMYK;
  jpeg_set_defaults(&info);
  if (options.components == 4) jpeg_set_colorspace(&info, options.ycck ? JCS_YCCK : JCS_CMYK);
  jpeg_set_quality(&info, options.quality, TRUE);
  info.dct_method = JDCT_ISLOW;
  for (int c = 0; c < info.num_components; ++c)
    info.comp_info[c].h_samp_factor = info.comp_info[c].v_samp_factor = 1;
  if (options.subsampled) info.comp_info[0].h_samp_factor = info.comp_info[0].v_samp_factor = 2;
  info.restart_in_rows = options.restart_rows;
  info.arith_code = options.arithmetic ? TRUE : FALSE;
  if (options.progressive) jpeg_simple_progression(&info);
}

}  // namespace

std::string ExifBlock(int orientation, bool big_endian) {
  std::string tiff = big_endian ? "MM" : "II";
  const auto number = [&](uint32_t value, int bytes) {
    for (int i = 0; i < bytes; ++i)
      tiff.push_back(static_cast<char>(value >> (8 * (big_endian ? bytes - 1 - i : i))));
  };
  number(42, 2);
  number(8, 4);  // IFD0 follows at once
  number(2, 2);
  const uint32_t entries[][4] = {{0x010F, 2, 2, 0}, {0x0112, 3, 1, 0}};
  for (const auto& entry : entries) {
    number(entry[0], 2);
    number(entry[1], 2);
    number(entry[2], 4);
    number(entry[0] == 0x0112 ? static_cast<uint32_t>(orientation) : 0, 2);
    number(0, 2);
  }
  number(0, 4);
  return tiff;
}

std::string EncodeJpeg(int width, int height, const Bytes& pixels, const JpegOptions& options) {
  const size_t stride = static_cast<size_t>(width) * options.components;
  SEER_CHECK(pixels.size() == stride * height) << pixels.size();
  jpeg_compress_struct info{};
  jpeg_error_mgr errors;
  info.err = jpeg_std_error(&errors);
  jpeg_create_compress(&info);
  unsigned char* out = nullptr;
  unsigned long size = 0;  // NOLINT: libjpeg's type
  jpeg_mem_dest(&info, &out, &size);
  info.image_width = static_cast<JDIMENSION>(width);
  info.image_height = static_cast<JDIMENSION>(height);
  SetUpJpeg(info, options);
  jpeg_start_compress(&info, TRUE);
  if (options.orientation != 0) {
    const std::string exif =
        std::string("Exif\0\0", 6) + ExifBlock(options.orientation, options.big_endian);
    jpeg_write_marker(&info, JPEG_APP0 + 1, reinterpret_cast<const JOCTET*>(exif.data()),
                      static_cast<unsigned>(exif.size()));
  }
  while (info.next_scanline < info.image_height) {
    JSAMPROW row = const_cast<uint8_t*>(pixels.data()) + stride * info.next_scanline;
    jpeg_write_scanlines(&info, &row, 1);
  }
  jpeg_finish_compress(&info);
  jpeg_destroy_compress(&info);
  std::string bytes(reinterpret_cast<char*>(out), size);
  std::free(out);
  return bytes;
}

std::string EncodePng(int width, int height, const Bytes& rows, const PngOptions& options) {
  png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, nullptr, nullptr, nullptr);
  png_infop info = png_create_info_struct(png);
  std::string bytes;
  png_set_write_fn(
      png, &bytes,
      [](png_structp p, png_bytep data, size_t size) {
        static_cast<std::string*>(png_get_io_ptr(p))->append(reinterpret_cast<char*>(data), size);
      },
      nullptr);
  png_set_IHDR(png, info, static_cast<png_uint_32>(width), static_cast<png_uint_32>(height),
               options.bit_depth, options.color_type,
               options.interlaced ? PNG_INTERLACE_ADAM7 : PNG_INTERLACE_NONE,
               PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
  std::vector<png_color> palette;
  for (const auto& c : options.palette) palette.push_back({c[0], c[1], c[2]});
  if (!palette.empty()) png_set_PLTE(png, info, palette.data(), static_cast<int>(palette.size()));
  if (!options.palette_alpha.empty()) {
    png_set_tRNS(png, info, options.palette_alpha.data(),
                 static_cast<int>(options.palette_alpha.size()), nullptr);
  }
  png_color_16 transparent{};
  transparent.gray = static_cast<png_uint_16>(options.transparent_grey);
  if (options.transparent_grey >= 0) png_set_tRNS(png, info, nullptr, 0, &transparent);
  std::string exif = ExifBlock(options.orientation, true);
  if (options.orientation != 0) {
    png_set_eXIf_1(png, info, static_cast<png_uint_32>(exif.size()),
                   reinterpret_cast<png_bytep>(exif.data()));
  }
  png_write_info(png, info);
  const size_t stride = png_get_rowbytes(png, info);
  SEER_CHECK(rows.size() == stride * height) << rows.size() << " is not " << stride * height;
  std::vector<png_bytep> pointers;
  for (int y = 0; y < height; ++y)
    pointers.push_back(const_cast<png_bytep>(rows.data()) + stride * y);
  png_write_image(png, pointers.data());
  png_write_end(png, info);
  png_destroy_write_struct(&png, &info);
  return bytes;
}

std::string EncodeWebp(int width, int height, const Bytes& pixels, bool lossless, int channels) {
  SEER_CHECK(pixels.size() == static_cast<size_t>(width) * height * channels) << pixels.size();
  uint8_t* out = nullptr;
  const int stride = width * channels;
  const uint8_t* in = pixels.data();
  size_t size = 0;
  if (lossless) {
    size = channels == 4 ? WebPEncodeLosslessRGBA(in, width, height, stride, &out)
                         : WebPEncodeLosslessRGB(in, width, height, stride, &out);
  } else {
    size = channels == 4 ? WebPEncodeRGBA(in, width, height, stride, 95, &out)
                         : WebPEncodeRGB(in, width, height, stride, 95, &out);
  }
  SEER_CHECK(size > 0) << "libwebp refused";
  std::string bytes(reinterpret_cast<char*>(out), size);
  WebPFree(out);
  return bytes;
}

std::string ExtendWebp(const std::string& simple, int width, int height, uint8_t flags,
                       const std::vector<std::pair<std::string, std::string>>& chunks) {
  std::string header;
  AppendLittle(header, flags, 4);
  AppendLittle(header, static_cast<uint32_t>(width - 1), 3);
  AppendLittle(header, static_cast<uint32_t>(height - 1), 3);
  std::string body = "WEBP" + RiffChunk("VP8X", header) + simple.substr(12);
  for (const auto& [name, data] : chunks) body += RiffChunk(name, data);
  std::string file = "RIFF";
  AppendLittle(file, static_cast<uint32_t>(body.size()), 4);
  return file + body;
}

}  // namespace seer::testing
