// Limits of flags that are whole numbers.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>

namespace seer {

// For ->check(): "'x' is not a whole number of at least 1".
CLI::Validator AtLeast(int64_t least);

}  // namespace seer
