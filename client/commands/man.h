// seer man.
#pragma once

#include "client/cli.h"

namespace seer::client {

void AddMan(CLI::App& app, Session& session);

}  // namespace seer::client
