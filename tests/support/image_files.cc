#include "tests/support/image_files.h"

#include <png.h>
#include <zlib.h>

#include <cmath>
#include <fstream>
#include <iterator>
#include <vector>

#include "common/base/check.h"
#include "common/base/philox.h"
#include "tests/support/image_encoders.h"

namespace seer::testing {
namespace {

std::vector<uint8_t> Pixels(int width, int height, uint32_t seed) {
  Philox random(seed, RandomPurpose::kTest, 0);
  const double fx = random.Uniform(0.05, 0.5), fy = random.Uniform(0.05, 0.5),
               phase = random.Uniform(0, 6);
  std::vector<uint8_t> rgb;
  rgb.reserve(static_cast<size_t>(width) * height * 3);
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      for (int c = 0; c < 3; ++c)
        rgb.push_back(static_cast<uint8_t>(127 + 100 * std::sin(fx * x + fy * y + phase + c) +
                                           random.Uniform(0, 25)));
    }
  }
  return rgb;
}

void AppendChunk(std::string& png, const std::string& kind, const std::string& data) {
  const auto number = [&](uint32_t value) {
    for (int shift = 24; shift >= 0; shift -= 8) png.push_back(static_cast<char>(value >> shift));
  };
  number(static_cast<uint32_t>(data.size()));
  const std::string body = kind + data;
  png += body;
  number(static_cast<uint32_t>(
      crc32(0, reinterpret_cast<const Bytef*>(body.data()), static_cast<uInt>(body.size()))));
}

}  // namespace

std::string MakePng(int width, int height, uint32_t seed) {
  const auto rgb = Pixels(width, height, seed);
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  image.width = static_cast<png_uint_32>(width);
  image.height = static_cast<png_uint_32>(height);
  image.format = PNG_FORMAT_RGB;
  png_alloc_size_t size = 0;
  SEER_CHECK(png_image_write_to_memory(&image, nullptr, &size, 0, rgb.data(), 0, nullptr) != 0);
  std::string bytes(size, '\0');
  SEER_CHECK(png_image_write_to_memory(&image, bytes.data(), &size, 0, rgb.data(), 0, nullptr) !=
             0);
  bytes.resize(size);
  return bytes;
}

std::string MakeJpeg(int width, int height, uint32_t seed) {
  return EncodeJpeg(width, height, Pixels(width, height, seed),
                    {.quality = 90, .subsampled = true});
}

std::string MakePngBomb(uint32_t width, uint32_t height) {
  std::string header;
  for (uint32_t value : {width, height})
    for (int shift = 24; shift >= 0; shift -= 8)
      header.push_back(static_cast<char>(value >> shift));
  header += std::string("\x08\x02\0\0\0", 5);  // 8-bit RGB
  const std::string zeros(1 << 16, '\0');
  uLongf size = compressBound(static_cast<uLong>(zeros.size()));
  std::string packed(size, '\0');
  compress(reinterpret_cast<Bytef*>(packed.data()), &size,
           reinterpret_cast<const Bytef*>(zeros.data()), static_cast<uLong>(zeros.size()));
  packed.resize(size);
  std::string png("\x89PNG\r\n\x1a\n");
  AppendChunk(png, "IHDR", header);
  AppendChunk(png, "IDAT", packed);
  AppendChunk(png, "IEND", "");
  return png;
}

std::string ReadFile(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  SEER_CHECK(file.good()) << path;
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

void WriteFile(const std::filesystem::path& path, const std::string& bytes) {
  std::filesystem::create_directories(path.parent_path());
  std::ofstream file(path, std::ios::binary);
  file << bytes;
  file.close();
  SEER_CHECK(file.good()) << path;
}

void WriteLabelledFolder(const std::filesystem::path& folder, int classes, int images, int side) {
  for (int c = 0; c < classes; ++c) {
    for (int i = 0; i < images; ++i)
      WriteFile(folder / std::to_string(c) / (std::to_string(1000 + i) + ".png"),
                MakePng(side, side, static_cast<uint32_t>(c * 1000 + i)));
  }
}

}  // namespace seer::testing
