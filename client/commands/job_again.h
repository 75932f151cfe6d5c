// seer job retry, diff and export-config.
#pragma once

#include "client/cli.h"

namespace seer::client {

void AddAgain(CLI::App& parent, Session& session);

}  // namespace seer::client
