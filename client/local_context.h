// What `seer cluster up` and `down --purge` do to the file of contexts. They say on stderr what
// they change beyond the context `local` itself.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "client/context.h"

namespace seer::client {

// Makes `local`, which is of the cluster that runs now, the current context, and remembers which
// was.
absl::Status EnterLocalContext(const Context& local);

// Removes `local` if it is of the cluster at `coordinator`, which is gone; where it was current,
// the one before it is again.
absl::Status LeaveLocalContext(const std::string& coordinator);

}  // namespace seer::client
