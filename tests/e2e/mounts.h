// File systems that a test mounts for itself.
#pragma once

#include <string>

namespace seer::e2e {

// From here on this process has a mount namespace, which ends with it and with those it starts.
// Says why it cannot be had; empty: it is there.
std::string OwnMounts();

}  // namespace seer::e2e
