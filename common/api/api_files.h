// The API as files for other tools, as they are installed below share/seer. Thread-safe.
#pragma once

#include "absl/strings/string_view.h"

namespace seer {

// Serialised google.protobuf.FileDescriptorSet of the public protos, with imports and comments.
absl::string_view Protoset();
absl::string_view OpenApi();  // JSON

}  // namespace seer
