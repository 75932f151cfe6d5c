// seer schedule.
#pragma once

#include "client/cli.h"

namespace seer::client {

void AddScheduleCommands(CLI::App& app, Session& session);

}  // namespace seer::client
