// How fast ranks reach each other: the torch-free face of a measurement of collectives.
#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "engine/arch/cost_model.h"
#include "engine/session/config.h"

namespace seer::engine {

// Joins the gang and runs all-reduces of several sizes; collective: every rank calls it with the
// same `repetitions`. The shortest of the repetitions of each size counts. UNAVAILABLE: the gang
// did not meet, or broke. Tensors are in host memory, so that the gang talks through Gloo.
absl::StatusOr<std::vector<LinkSample>> MeasureAllReduce(const RankConfig& rank, int repetitions);

}  // namespace seer::engine
