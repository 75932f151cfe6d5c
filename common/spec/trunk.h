// The trunk that a spec asks for, for all that build it or count it.
#pragma once

#include "absl/status/statusor.h"
#include "engine/arch/trunk_design.h"
#include "seer/v1/job_spec.pb.h"

namespace seer {

// The preset's network if one is named, else the one of `spec.regnet()`, whose numbers
// engine::TrunkStages checks. NOT_FOUND with INVALID_SPEC: no such preset; lists the nearest.
absl::StatusOr<engine::TrunkConfig> ToTrunkConfig(const v1::TrunkSpec& spec);

}  // namespace seer
