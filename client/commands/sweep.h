// seer sweep.
#pragma once

#include "client/cli.h"

namespace seer::client {

void AddSweepCommands(CLI::App& app, Session& session);

}  // namespace seer::client
