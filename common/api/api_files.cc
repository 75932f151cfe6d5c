#include "common/api/api_files.h"

#include "seer_api_bytes.h"

namespace seer {

absl::string_view Protoset() { return seer_api_bytes::seer_protoset(); }
absl::string_view OpenApi() { return seer_api_bytes::openapi_json(); }

}  // namespace seer
