// A StreamBatches request that has been checked, as plain data.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "dataservice/decode/resample.h"
#include "dataservice/order/crops.h"
#include "dataservice/order/sample_order.h"
#include "seer/v1/batches.pb.h"

namespace seer::dataservice {

struct StreamPlan {
  std::string pool;
  struct Entry {
    int64_t first_step = 0;
    int64_t generation = 0;
  };
  std::vector<Entry> entries;  // ascending first_step, the first at 0
  std::vector<v1::CropRecipe> crops;
  uint64_t seed = 0;
  int64_t first_step = 0;
  int64_t end_step = 0;  // exclusive
  int rank = 0;
  int world_size = 1;
  int64_t global_batch = 0;
  OrderKind order = OrderKind::kShuffled;
  bool one_epoch = false;
  double max_bad_ratio = 0;
  std::string job;

  int64_t GenerationAt(int64_t step) const;
  int views() const;                // of one image, over all crops
  int64_t bytes_per_image() const;  // of its crops
};

// "pools/name" -> "name". INVALID_ARGUMENT: not such a name.
absl::StatusOr<std::string> PoolIdOf(const std::string& resource_name);

// INVALID_ARGUMENT names the field, "order" or one of "crops".
absl::StatusOr<OrderKind> CheckOrder(v1::SampleOrder order);
absl::Status CheckCrop(const v1::CropRecipe& crop);

// Of a recipe that has been checked.
Interpolation InterpolationOf(const v1::CropRecipe& recipe);

// Where view `view`, counted over all recipes of a request, of a sample is cut out of an image of
// that size, by a recipe that has been checked.
CropBox BoxOf(const v1::CropRecipe& recipe, uint64_t seed, int64_t sample_index, uint32_t view,
              int64_t image_width, int64_t image_height);

// A crop has at most so many pixels for one of the largest image's: more is a mistake in a recipe.
constexpr int kMostEnlarged = 8;
// INVALID_ARGUMENT names augment.crops.size: a crop is larger than that allows. `longest_side`: of
// the generation's images, 0: not known.
absl::Status CheckCropsFit(const std::vector<v1::CropRecipe>& crops, const std::string& pool,
                           int longest_side);

// INVALID_ARGUMENT names the field.
absl::StatusOr<StreamPlan> CheckStreamRequest(const v1::StreamBatchesRequest& request);

}  // namespace seer::dataservice
