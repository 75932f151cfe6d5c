// seer api: descriptor, openapi.
#pragma once

namespace CLI {
class App;
}

namespace seer::client {

struct Session;

void AddApiCommands(CLI::App& app, Session& session);

}  // namespace seer::client
