#include "client/contact_sheet.h"

#include <turbojpeg.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <fstream>
#include <memory>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"

namespace seer::client {
namespace {

constexpr int64_t kMaxEdge = 65'500;  // of a JPEG, by libjpeg
constexpr int kQuality = 92;
constexpr uint8_t kPaper = 32;
constexpr uint8_t kProblem[3] = {96, 16, 16};

struct TurboCloser {
  void operator()(void* handle) const { tjDestroy(handle); }
};
struct TurboFree {
  void operator()(unsigned char* bytes) const { tjFree(bytes); }
};

}  // namespace

absl::StatusOr<ContactSheet> ContactSheet::Create(int count, int width, int height) {
  const int64_t block_width = int64_t{width} + kGap, block_height = int64_t{height} + kGap;
  const double square = std::sqrt(static_cast<double>(count) * static_cast<double>(block_height) /
                                  static_cast<double>(block_width));
  const int64_t columns = std::clamp<int64_t>(std::llround(square), 1, count);
  const int64_t rows = (count + columns - 1) / columns;
  const int64_t all_width = columns * block_width + kGap, all_height = rows * block_height + kGap;
  if (all_width > kMaxEdge || all_height > kMaxEdge || all_width * all_height > kMaxPixels) {
    return Error(absl::StatusCode::kInvalidArgument, reason::kOutOfRange,
                 absl::StrCat("a sheet of ", count, " blocks of ", width, "x", height,
                              " pixels would have ", all_width, "x", all_height))
        .Hint("fewer images, or smaller ones");
  }
  return ContactSheet(static_cast<int>(columns), static_cast<int>(rows), width, height);
}

ContactSheet::ContactSheet(int columns, int rows, int block_width, int block_height)
    : columns_(columns),
      block_width_(block_width),
      block_height_(block_height),
      width_(columns * (block_width + kGap) + kGap),
      height_(rows * (block_height + kGap) + kGap),
      rgb_(static_cast<size_t>(width_) * height_ * 3, kPaper) {}

void ContactSheet::Place(int index, const v1::SampledImage& image) {
  const int left = BlockX(index), top = BlockY(index);
  const auto at = [&](int x, int y) {
    return rgb_.data() + (static_cast<size_t>(y) * width_ + x) * 3;
  };
  if (image.views().empty()) {
    for (int y = 0; y < block_height_; ++y)
      for (int x = 0; x < block_width_; ++x) std::memcpy(at(left + x, top + y), kProblem, 3);
    return;
  }
  int used = -kGap;
  for (const v1::SampledView& view : image.views()) used += view.width() + kGap;
  int x = left + std::max(0, (block_width_ - used) / 2);
  for (const v1::SampledView& view : image.views()) {
    const size_t stride = static_cast<size_t>(std::max(view.width(), 0)) * 3;
    if (view.width() < 1 || view.height() < 1 || view.rgb().size() != stride * view.height() ||
        x + view.width() > left + block_width_ || view.height() > block_height_) {
      continue;
    }
    const int y = top + (block_height_ - view.height()) / 2;
    for (int row = 0; row < view.height(); ++row)
      std::memcpy(at(x, y + row), view.rgb().data() + stride * row, stride);
    x += view.width() + kGap;
  }
}

absl::Status ContactSheet::Write(const std::string& file) const {
  const std::unique_ptr<void, TurboCloser> turbo(tjInitCompress());
  unsigned char* out = nullptr;
  unsigned long size = 0;  // NOLINT: the library's type
  const int failed = turbo == nullptr
                         ? -1
                         : tjCompress2(turbo.get(), rgb_.data(), width_, 0, height_, TJPF_RGB, &out,
                                       &size, TJSAMP_444, kQuality, TJFLAG_ACCURATEDCT);
  const std::unique_ptr<unsigned char, TurboFree> jpeg(out);
  if (failed != 0) {
    return Error(absl::StatusCode::kInternal, reason::kInternal,
                 absl::StrCat("the sheet cannot be encoded: ", tjGetErrorStr2(turbo.get())));
  }
  std::ofstream stream(file, std::ios::binary | std::ios::trunc);
  stream.write(reinterpret_cast<const char*>(jpeg.get()), static_cast<std::streamsize>(size));
  stream.close();
  if (stream) return absl::OkStatus();
  const bool full = errno == ENOSPC;
  return Error(full ? absl::StatusCode::kResourceExhausted : absl::StatusCode::kUnavailable,
               full ? reason::kDiskFull : reason::kStorageFailed,
               absl::StrCat("cannot write ", file, ": ", std::strerror(errno)));
}

}  // namespace seer::client
