// seer context: list, use, show, delete.
#pragma once

#include "client/cli.h"

namespace seer::client {

void AddContextCommands(CLI::App& app, Session& session);

}  // namespace seer::client
