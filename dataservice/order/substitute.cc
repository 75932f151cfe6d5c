#include "dataservice/order/substitute.h"

#include "common/base/check.h"
#include "common/base/philox.h"

namespace seer::dataservice {

int64_t SubstituteSample(uint64_t seed, int64_t sample_index, uint32_t attempt, int64_t images) {
  SEER_CHECK(images >= 1) << images;
  Philox random(seed, RandomPurpose::kSubstitute, static_cast<uint64_t>(sample_index), attempt);
  return static_cast<int64_t>(random.Below(static_cast<uint64_t>(images)));
}

}  // namespace seer::dataservice
