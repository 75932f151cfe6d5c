#include "engine/nn/trunk.h"

#include "common/base/status_macros.h"
#include "engine/nn/regnet.h"
#include "engine/nn/resnet.h"

namespace seer::engine {

absl::StatusOr<Trunk> BuildTrunk(const TrunkConfig& config, const BuildContext& context) {
  SEER_ASSIGN_OR_RETURN(const std::vector<TrunkStage> stages, TrunkStages(config));
  Trunk trunk;
  trunk.width = stages.back().width;
  if (config.resnet) {
    SEER_ASSIGN_OR_RETURN(trunk.chain, BuildResnet(*config.resnet, config.stem_stride, context));
  } else {
    SEER_ASSIGN_OR_RETURN(trunk.chain, BuildRegnet(config.regnet, config.stem_stride, context));
  }
  return trunk;
}

}  // namespace seer::engine
