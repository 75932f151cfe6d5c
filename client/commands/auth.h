// seer auth: login, logout, whoami, audit (auth.cc) and token (auth_token.cc).
#pragma once

#include "client/cli.h"

namespace seer::client {

void AddAuthCommands(CLI::App& app, Session& session);
void AddTokenCommands(CLI::App& auth, Session& session);  // `auth`: the noun above

}  // namespace seer::client
