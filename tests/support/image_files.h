// Image files made by a test: small, deterministic, real PNG and JPEG bytes.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace seer::testing {

// A smooth pattern with noise that depends on `seed`, so that no two are alike.
std::string MakePng(int width, int height, uint32_t seed);
std::string MakeJpeg(int width, int height, uint32_t seed);
// A valid PNG header of a very large image with hardly any data behind it.
std::string MakePngBomb(uint32_t width, uint32_t height);

void WriteFile(const std::filesystem::path& path, const std::string& bytes);  // makes its folder
std::string ReadFile(const std::filesystem::path& path);
// `classes` folders of `images` PNG files each: FOLDER/<class>/<n>.png.
void WriteLabelledFolder(const std::filesystem::path& folder, int classes, int images, int side);

}  // namespace seer::testing
