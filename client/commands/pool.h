// Where the files of `seer pool` add their verbs.
#pragma once

#include "client/cli.h"

namespace seer::client {

void AddPoolOrder(CLI::App& parent, Session& session);

}  // namespace seer::client
