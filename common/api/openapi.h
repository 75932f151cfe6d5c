// The OpenAPI 3 document of the HTTP gateway, out of the descriptors and their comments.
// Thread-safe: a pure function.
#pragma once

#include <google/protobuf/descriptor.pb.h>

#include <string>

#include "absl/status/statusor.h"

namespace seer {

// `files`: the public protos with what they import, and with their comments (protoc
// --include_source_info). Of every route. INVALID_ARGUMENT: a method of a route is not in them.
absl::StatusOr<std::string> MakeOpenApi(const google::protobuf::FileDescriptorSet& files);

}  // namespace seer
