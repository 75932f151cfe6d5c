// A server's --log-format.
#pragma once

#include <CLI/CLI.hpp>

#include "common/base/log.h"

namespace seer {

// `format` outlives `app`.
void AddLogFormatFlag(CLI::App& app, LogFormat& format);

}  // namespace seer
