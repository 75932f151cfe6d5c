// Every default of a JobSpec, once. After this no field that has a default is unset.
#pragma once

#include "seer/v1/job_spec.pb.h"

namespace seer {

void FillDefaults(v1::JobSpec& spec);

}  // namespace seer
