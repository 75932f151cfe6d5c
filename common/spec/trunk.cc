#include "common/spec/trunk.h"

#include "common/base/status_macros.h"

namespace seer {

absl::StatusOr<engine::TrunkConfig> ToTrunkConfig(const v1::TrunkSpec& spec) {
  engine::TrunkConfig trunk;
  if (!spec.preset().empty()) {
    SEER_ASSIGN_OR_RETURN(trunk, engine::TrunkPreset(spec.preset()));
  } else {
    const v1::RegnetSpec& r = spec.regnet();
    trunk.regnet = {r.depth(), r.w_0(), r.w_a(), r.w_m(), r.group_width(), r.se_ratio()};
  }
  trunk.stem_stride = spec.stem_stride();
  return trunk;
}

}  // namespace seer
