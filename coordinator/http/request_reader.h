// The message that an HTTP request stands for: variables of the path, the query, the JSON body.
// Thread-safe: a pure function.
#pragma once

#include <google/protobuf/message.h>

#include <memory>

#include "absl/status/statusor.h"
#include "common/api/routes.h"
#include "common/http/http_server.h"

namespace seer::coordinator {

// `match` has a route. A field of the query is called by its name or its JSON name, with dots into
// messages; a repeated one may stand several times. The header Last-Event-ID fills the route's
// resume_field. INVALID_ARGUMENT names the field: UNKNOWN_KEY with the nearest one, WRONG_TYPE: not
// JSON of its type, INVALID_ARGUMENT: a body that is not sent as application/json, or one where
// none is taken.
absl::StatusOr<std::unique_ptr<google::protobuf::Message>> ReadRequest(
    const Match& match, const HttpCallerRequest& request);

}  // namespace seer::coordinator
