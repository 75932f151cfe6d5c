// What `--param` of `seer sweep create` says.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "seer/v1/sweeps.pb.h"

namespace seer::client {

// "optim.lr=0.1,0.3": values, with commas in between but within brackets and quotes; or
// "optim.lr=0.1..1" and then ":log" for uniform in the logarithm, ":int" for whole numbers.
// INVALID_ARGUMENT: neither.
absl::StatusOr<v1::SweepParameter> ReadSweepParameter(const std::string& text);

}  // namespace seer::client
