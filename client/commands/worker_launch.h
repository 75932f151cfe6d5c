// seer worker launch.
#pragma once

#include "client/cli.h"

namespace seer::client {

// `noun` is `seer worker`.
void AddWorkerLaunch(CLI::App& noun, Session& session);

}  // namespace seer::client
