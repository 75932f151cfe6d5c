#include "common/batches/pixel_buffers.h"

#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace seer {
namespace {

constexpr size_t kRounding = size_t{64} << 10;  // messages of a stream differ by a few bytes

struct Buffer {
  std::unique_ptr<uint8_t[]> memory;
  size_t bytes = 0;
};

}  // namespace

struct PixelBuffers::Spare {
  absl::Mutex mu;
  std::vector<Buffer> buffers ABSL_GUARDED_BY(mu);
};

PixelBuffers::PixelBuffers() : spare_(std::make_shared<Spare>()) {}

std::shared_ptr<uint8_t> PixelBuffers::Take(size_t bytes) {
  Buffer buffer;
  {
    absl::MutexLock lock(&spare_->mu);
    if (!spare_->buffers.empty()) {
      buffer = std::move(spare_->buffers.back());
      spare_->buffers.pop_back();
    }
  }
  if (buffer.memory == nullptr || buffer.bytes < bytes) {
    buffer.memory = nullptr;  // before its successor is there
    buffer.bytes = (bytes + kRounding - 1) / kRounding * kRounding;
    buffer.memory.reset(new uint8_t[buffer.bytes]);
  }
  uint8_t* const memory = buffer.memory.release();
  return std::shared_ptr<uint8_t>(
      memory, [spare = std::weak_ptr<Spare>(spare_), size = buffer.bytes](uint8_t* released) {
        Buffer back{std::unique_ptr<uint8_t[]>(released), size};
        const auto kept = spare.lock();
        if (kept == nullptr) return;
        absl::MutexLock lock(&kept->mu);
        if (kept->buffers.size() < kSpare) kept->buffers.push_back(std::move(back));
      });
}

}  // namespace seer
