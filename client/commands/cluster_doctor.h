// seer cluster doctor.
#pragma once

#include "client/cli.h"

namespace seer::client {

void AddDoctor(CLI::App& noun, Session& session);

}  // namespace seer::client
