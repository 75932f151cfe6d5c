// What of a spec may change once its job is made, and how. Pure.
#pragma once

#include <google/protobuf/field_mask.pb.h>

#include "absl/status/status.h"
#include "seer/v1/job_spec.pb.h"

namespace seer {

// Sets the fields of `spec` that the mask names as `from` has them. What is unset there becomes
// unset: defaults come later. Paths are of lowerCamelCase or snake_case keys, and may end in the
// key of a map: "metadata.labels.team". INVALID_ARGUMENT: the mask is empty; UNKNOWN_KEY: there is
// no such field; INVALID_ARGUMENT: it may not change.
absl::Status ApplyUpdate(const google::protobuf::FieldMask& mask, const v1::JobSpec& from,
                         v1::JobSpec& spec);

}  // namespace seer
