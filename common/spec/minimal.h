// A spec without what its defaults say anyway. Pure.
#pragma once

#include "seer/v1/job_spec.pb.h"

namespace seer {

// With its defaults it is `spec` with its defaults, and nothing more can be left out.
v1::JobSpec MinimalSpec(const v1::JobSpec& spec);

}  // namespace seer
