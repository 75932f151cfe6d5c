// One rank's slice of one step's global batch, as the data service sends it.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace seer::engine {

// uint8 [views * samples, size, size, 3]; row v * samples + s is view v of the rank's s-th sample.
struct CropTensor {
  int views = 0;
  int samples = 0;
  int size = 0;
  std::string pixels;  // views * samples * size * size * 3 bytes
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
