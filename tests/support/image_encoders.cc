#include "tests/support/image_encoders.h"

#include <cstdio>

#include <gif_lib.h>
#include <jpeglib.h>
#include <png.h>
#include <tiffio.h>
#include <webp/encode.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

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

std::string EncodeGif(int width, int height, const Bytes& indices,
                      const std::vector<std::array<uint8_t, 3>>& palette,
                      const GifOptions& options) {
  std::string bytes;
  int error = 0;
  GifFileType* gif = EGifOpen(
      &bytes,
      [](GifFileType* file, const GifByteType* data, int size) {
        static_cast<std::string*>(file->UserData)
            ->append(reinterpret_cast<const char*>(data), static_cast<size_t>(size));
        return size;
      },
      &error);
  SEER_CHECK(gif != nullptr) << error;
  EGifSetGifVersion(gif, true);
  std::vector<GifColorType> colors;
  for (const auto& c : palette) colors.push_back({c[0], c[1], c[2]});
  ColorMapObject* map = GifMakeMapObject(static_cast<int>(colors.size()), colors.data());
  SEER_CHECK(map != nullptr) << colors.size();
  const int screen_width = options.screen_width > 0 ? options.screen_width : width;
  const int screen_height = options.screen_height > 0 ? options.screen_height : height;
  SEER_CHECK(EGifPutScreenDesc(gif, screen_width, screen_height, 8, 0,
                               options.local_palette ? nullptr : map) == GIF_OK);
  if (options.transparent >= 0) {
    const GraphicsControlBlock control{0, false, 0, options.transparent};
    GifByteType block[4];
    SEER_CHECK(EGifGCBToExtension(&control, block) == 4);
    SEER_CHECK(EGifPutExtension(gif, GRAPHICS_EXT_FUNC_CODE, 4, block) == GIF_OK);
  }
  SEER_CHECK(EGifPutImageDesc(gif, options.left, options.top, width, height, options.interlaced,
                              options.local_palette ? map : nullptr) == GIF_OK);
  const auto put = [&](int first, int step) {
    for (int y = first; y < height; y += step) {
      auto* row = const_cast<GifPixelType*>(indices.data()) + static_cast<size_t>(y) * width;
      SEER_CHECK(EGifPutLine(gif, row, width) == GIF_OK) << y;
    }
  };
  if (options.interlaced) {
    put(0, 8);
    put(4, 8);
    put(2, 4);
    put(1, 2);
  } else {
    put(0, 1);
  }
  SEER_CHECK(EGifCloseFile(gif, &error) == GIF_OK) << error;
  GifFreeMapObject(map);
  return bytes;
}

namespace {

// A file in memory as libtiff writes it.
struct MemoryFile {
  std::string bytes;
  uint64_t at = 0;
};

TIFF* OpenMemory(MemoryFile& file, const char* mode) {
  return TIFFClientOpen(
      "memory", mode, &file,
      [](thandle_t handle, void* out, tmsize_t size) {
        auto& f = *static_cast<MemoryFile*>(handle);
        if (f.at >= f.bytes.size()) return tmsize_t{0};
        const size_t count = std::min(static_cast<size_t>(size), f.bytes.size() - f.at);
        std::memcpy(out, f.bytes.data() + f.at, count);
        f.at += count;
        return static_cast<tmsize_t>(count);
      },
      [](thandle_t handle, void* data, tmsize_t size) {
        auto& f = *static_cast<MemoryFile*>(handle);
        const auto count = static_cast<size_t>(size);
        f.bytes.resize(std::max<size_t>(f.bytes.size(), f.at + count));
        std::memcpy(f.bytes.data() + f.at, data, count);
        f.at += count;
        return size;
      },
      [](thandle_t handle, toff_t offset, int whence) {
        auto& f = *static_cast<MemoryFile*>(handle);
        f.at = offset + (whence == SEEK_CUR ? f.at : whence == SEEK_END ? f.bytes.size() : 0);
        return toff_t{f.at};
      },
      [](thandle_t) { return 0; },
      [](thandle_t handle) { return toff_t{static_cast<MemoryFile*>(handle)->bytes.size()}; },
      nullptr, nullptr);
}

void SetTiffFields(TIFF* tiff, int width, int height, const TiffOptions& options) {
  TIFFSetField(tiff, TIFFTAG_IMAGEWIDTH, width);
  TIFFSetField(tiff, TIFFTAG_IMAGELENGTH, height);
  TIFFSetField(tiff, TIFFTAG_SAMPLESPERPIXEL, options.samples);
  TIFFSetField(tiff, TIFFTAG_BITSPERSAMPLE, options.bits);
  TIFFSetField(tiff, TIFFTAG_COMPRESSION, options.compression);
  TIFFSetField(tiff, TIFFTAG_PLANARCONFIG,
               options.planar ? PLANARCONFIG_SEPARATE : PLANARCONFIG_CONTIG);
  TIFFSetField(tiff, TIFFTAG_PHOTOMETRIC,
               options.cmyk               ? PHOTOMETRIC_SEPARATED
               : !options.palette.empty() ? PHOTOMETRIC_PALETTE
               : options.samples >= 3     ? PHOTOMETRIC_RGB
               : options.white_is_zero    ? PHOTOMETRIC_MINISWHITE
                                          : PHOTOMETRIC_MINISBLACK);
  if (options.orientation > 0) TIFFSetField(tiff, TIFFTAG_ORIENTATION, options.orientation);
  const uint16_t alpha[] = {EXTRASAMPLE_UNASSALPHA};
  if (options.samples == 4 && !options.cmyk) TIFFSetField(tiff, TIFFTAG_EXTRASAMPLES, 1, alpha);
  if (!options.palette.empty()) {
    std::array<std::vector<uint16_t>, 3> maps;
    for (const auto& color : options.palette)
      for (size_t c = 0; c < 3; ++c) maps[c].push_back(static_cast<uint16_t>(color[c] * 257));
    TIFFSetField(tiff, TIFFTAG_COLORMAP, maps[0].data(), maps[1].data(), maps[2].data());
  }
  if (options.tile > 0) {
    TIFFSetField(tiff, TIFFTAG_TILEWIDTH, options.tile);
    TIFFSetField(tiff, TIFFTAG_TILELENGTH, options.tile);
  } else {
    TIFFSetField(tiff, TIFFTAG_ROWSPERSTRIP,
                 options.rows_per_strip > 0 ? options.rows_per_strip : height);
  }
}

}  // namespace

std::string EncodeTiff(int width, int height, const Bytes& pixels, const TiffOptions& options) {
  SEER_CHECK(pixels.size() == static_cast<size_t>(width) * height * options.samples)
      << pixels.size();
  MemoryFile file;
  TIFF* tiff = OpenMemory(file, options.big_endian ? "wb" : "wl");
  SEER_CHECK(tiff != nullptr);
  SetTiffFields(tiff, width, height, options);
  // A run of pixels of row y from column x, of one plane or of all samples, as TIFF stores it.
  const auto samples = [&](int x, int y, int count, int plane) {
    Bytes out;
    for (int i = x; i < x + count; ++i) {
      for (int s = 0; s < options.samples; ++s) {
        if (options.planar && s != plane) continue;
        const bool inside = i < width && y < height;
        const uint8_t value =
            inside ? pixels[(static_cast<size_t>(y) * width + i) * options.samples + s] : 0;
        if (options.bits == 16) {  // in the machine's order; libtiff swaps
          const auto wide = static_cast<uint16_t>(value * 256 + value);
          const auto* two = reinterpret_cast<const uint8_t*>(&wide);
          out.insert(out.end(), two, two + 2);
        } else {
          out.push_back(value);
        }
      }
    }
    return out;
  };
  const int planes = options.planar ? options.samples : 1;
  for (int plane = 0; plane < planes; ++plane) {
    if (options.tile == 0) {
      for (int y = 0; y < height; ++y) {
        Bytes row = samples(0, y, width, plane);
        SEER_CHECK(TIFFWriteScanline(tiff, row.data(), static_cast<uint32_t>(y),
                                     static_cast<uint16_t>(plane)) == 1);
      }
      continue;
    }
    for (int y = 0; y < height; y += options.tile) {
      for (int x = 0; x < width; x += options.tile) {
        Bytes tile;
        for (int row = y; row < y + options.tile; ++row) {
          const Bytes run = samples(x, row, options.tile, plane);
          tile.insert(tile.end(), run.begin(), run.end());
        }
        SEER_CHECK(TIFFWriteTile(tiff, tile.data(), static_cast<uint32_t>(x),
                                 static_cast<uint32_t>(y), 0, static_cast<uint16_t>(plane)) >= 0);
      }
    }
  }
  TIFFClose(tiff);
  return file.bytes;
}

std::string EncodeBmp(int width, int height, const std::vector<uint32_t>& pixels,
                      const BmpOptions& options) {
  SEER_CHECK(pixels.size() == static_cast<size_t>(width) * height) << pixels.size();
  const bool masks = options.masks[0] != 0;
  const uint32_t header_bytes = options.core ? 12 : 40;
  std::string tables;
  if (masks)
    for (const uint32_t mask : options.masks) AppendLittle(tables, mask, 4);
  for (const auto& c : options.palette) {
    AppendLittle(tables, uint32_t{c[2]} | c[1] << 8 | c[0] << 16, options.core ? 3 : 4);
  }
  std::string rows;
  for (int i = 0; i < height; ++i) {
    const int y = options.from_top ? i : height - 1 - i;
    std::string row((static_cast<size_t>(width) * options.bits + 31) / 32 * 4, '\0');
    for (int x = 0; x < width; ++x) {
      const uint32_t pixel = pixels[static_cast<size_t>(y) * width + x];
      for (int bit = 0; bit < options.bits; ++bit) {
        // Below 8 bits the leftmost pixel has the upper bits; above, bytes are little-endian.
        const int at = x * options.bits + (options.bits < 8 ? options.bits - 1 - bit : bit);
        const int within = options.bits < 8 ? 7 - at % 8 : at % 8;
        row[static_cast<size_t>(at / 8)] |= static_cast<char>(((pixel >> bit) & 1) << within);
      }
    }
    rows += row;
  }
  std::string file = "BM";
  const auto pixels_at = static_cast<uint32_t>(14 + header_bytes + tables.size());
  AppendLittle(file, pixels_at + static_cast<uint32_t>(rows.size()), 4);
  AppendLittle(file, 0, 4);
  AppendLittle(file, pixels_at, 4);
  AppendLittle(file, header_bytes, 4);
  AppendLittle(file, static_cast<uint32_t>(width), options.core ? 2 : 4);
  AppendLittle(file, static_cast<uint32_t>(options.from_top ? -height : height),
               options.core ? 2 : 4);
  AppendLittle(file, 1, 2);
  AppendLittle(file, static_cast<uint32_t>(options.bits), 2);
  if (!options.core) {
    AppendLittle(file, masks ? 3 : 0, 4);
    for (const uint32_t value : {static_cast<uint32_t>(rows.size()), 2835U, 2835U,
                                 static_cast<uint32_t>(options.palette.size()), 0U}) {
      AppendLittle(file, value, 4);
    }
  }
  return file + tables + rows;
}

}  // namespace seer::testing
