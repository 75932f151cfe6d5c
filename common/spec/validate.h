// Every rule of a JobSpec that can be checked without a cluster, once.
// Runs on a spec with its defaults filled in.
#pragma once

#include <cstddef>

#include "absl/status/status.h"
#include "seer/v1/job_spec.pb.h"

namespace seer {

// Of a spec as it travels and is stored.
inline constexpr size_t kMaxSpecBytes = size_t{1} << 20;

// INVALID_ARGUMENT with the first broken rule: field path, value, what is allowed, hint.
absl::Status ValidateJobSpec(const v1::JobSpec& spec);

}  // namespace seer
