// seer recipe.
#pragma once

#include "client/cli.h"

namespace seer::client {

void AddRecipeCommands(CLI::App& app, Session& session);

}  // namespace seer::client
