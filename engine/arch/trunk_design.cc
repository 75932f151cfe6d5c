#include "engine/arch/trunk_design.h"

#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"

namespace seer::engine {

absl::StatusOr<std::vector<TrunkStage>> TrunkStages(const TrunkConfig& config) {
  if (config.stem_stride != 1 && config.stem_stride != 2) {
    return Error(absl::StatusCode::kInvalidArgument, reason::kOutOfRange,
                 absl::StrCat("the stem's stride is ", config.stem_stride, ", not 1 or 2"))
        .Field("stem_stride");
  }
  std::vector<TrunkStage> result;
  const auto append = [&](const auto& stages) {
    for (const auto& stage : stages) result.push_back({stage.blocks, stage.width});
  };
  if (config.resnet) {
    SEER_ASSIGN_OR_RETURN(const std::vector<ResnetStage> stages, ResnetStages(*config.resnet));
    append(stages);
  } else {
    SEER_ASSIGN_OR_RETURN(const std::vector<RegnetStage> stages, RegnetStages(config.regnet));
    append(stages);
  }
  return result;
}

absl::StatusOr<TrunkCost> CountTrunk(const TrunkConfig& config, int image_size) {
  SEER_RETURN_IF_ERROR(TrunkStages(config).status());
  if (image_size < 1) {
    return Error(absl::StatusCode::kInvalidArgument, reason::kOutOfRange,
                 absl::StrCat("the image is ", image_size, " pixels wide"))
        .Field("image_size");
  }
  return config.resnet ? ResnetCost(*config.resnet, config.stem_stride, image_size)
                       : RegnetCost(config.regnet, config.stem_stride, image_size);
}

}  // namespace seer::engine
