// One rank's slice of one step's global batch, as the data service sends it.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace seer::engine {

// Bytes, and what keeps them where they are: a buffer of their own, or a slot of shared memory that
// is given back with the last copy of this.
class Pixels {
 public:
  Pixels() = default;
  Pixels(absl::string_view bytes, std::shared_ptr<const void> owner)
      : bytes_(bytes), owner_(std::move(owner)) {}
  Pixels(std::string bytes) {  // NOLINT: owns them
    auto owner = std::make_shared<const std::string>(std::move(bytes));
    bytes_ = *owner;
    owner_ = std::move(owner);
  }
  absl::string_view bytes() const { return bytes_; }
  operator absl::string_view() const { return bytes_; }  // NOLINT
  size_t size() const { return bytes_.size(); }

 private:
  absl::string_view bytes_;
  std::shared_ptr<const void> owner_;
};

// uint8 [views * samples, size, size, 3]; row v * samples + s is view v of the rank's s-th sample.
struct CropTensor {
  int views = 0;
  int samples = 0;
  int size = 0;
  Pixels pixels;  // views * samples * size * size * 3 bytes
};

struct Batch {
  int64_t step = 0;               // counted from 0 over the whole job
  int64_t first_sample = 0;       // global sample index of this rank's first sample
  std::vector<CropTensor> crops;  // one a resolution, in the order of the crop recipe
  std::vector<std::array<uint8_t, 32>> image_ids;  // [samples], SHA-256 of the image's bytes
  std::vector<int32_t> labels;                     // [samples], -1: unlabelled
};

class BatchSource {
 public:
  virtual ~BatchSource() = default;
  // The next batch: steps come in order, without gaps. Blocks while none is ready. OUT_OF_RANGE:
  // the stream's end. An error is final: every later call returns it too.
  virtual absl::StatusOr<Batch> Next() = 0;
};

}  // namespace seer::engine
