// The names of a context's security: keys of the file, and, as SEER_<KEY>, of the environment.
#pragma once

#include <map>
#include <string>

#include "common/rpc/security.h"

namespace seer::client {

// Key -> its value within `security`, which outlives the map.
inline std::map<std::string, std::string*> SecurityFields(SecurityOptions& security) {
  return {{"tls_ca", &security.ca},
          {"tls_cert", &security.certificate},
          {"tls_key", &security.key},
          {"token", &security.token}};
}

}  // namespace seer::client
