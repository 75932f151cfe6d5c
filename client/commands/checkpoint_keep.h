// Verbs that say which checkpoints are kept.
#pragma once

#include "client/cli.h"

namespace seer::client {

void AddKeeping(CLI::App& noun, Session& session);  // pin, unpin, prune

}  // namespace seer::client
