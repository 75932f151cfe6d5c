// Which rules the optimiser follows for which parameter: by shape, and by the job's groups. Pure.
#pragma once

#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/nn/segment.h"
#include "engine/optim/optimizer.h"
#include "engine/session/config.h"

namespace seer::engine {

// How many characters of `name` must be added, taken out or replaced until all of it is `pattern`,
// in which '*' stands for any text, also none, and '?' for any one character. 0: it matches.
size_t PatternDistance(std::string_view pattern, std::string_view name);

// Of whole parameters. One with one dimension or less is a bias or belongs to a norm layer: with
// decay_norm_and_bias false it gets neither weight decay nor a rate of its own (LARC, LARS). What
// the first of config.groups whose pattern matches its name sets, stands above that.
// INVALID_ARGUMENT: a group that no parameter belongs to; names the nearest names, or the group
// that takes its parameters.
absl::StatusOr<std::vector<OptimParameter>> ApplyGroups(const std::vector<NamedTensor>& parameters,
                                                        const OptimConfig& config);

}  // namespace seer::engine
