// absl::Status <-> grpc::Status, the only place: the detail travels as google.rpc.Status with
// ErrorInfo (reason, variables, and the hint under the key "hint") and BadRequest (field), so that
// other tools read reasons as they do from any Google-style API. What is not UTF-8 is replaced, and
// very long texts are cut: both would lose the whole detail on the way. Thread-safe.
#pragma once

#include <grpcpp/support/status.h>

#include "absl/status/status.h"

namespace seer {

grpc::Status ToGrpc(const absl::Status& status);
absl::Status FromGrpc(const grpc::Status& status);

}  // namespace seer
