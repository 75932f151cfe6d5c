// Flags whose value is a duration.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "common/base/duration.h"

namespace seer {

// `out` becomes what ReadDurationFlag makes of the value; it outlives `app`.
CLI::Option* AddDuration(CLI::App& app, const std::string& flag, absl::Duration& out,
                         const std::string& help, DurationRange range = kAboveZero);

}  // namespace seer
