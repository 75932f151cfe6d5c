// Names of servers to the addresses behind them.
#pragma once

#include <string>
#include <vector>

namespace seer {

// "host:port" each: a host with several addresses gives one entry for each of them, in a stable
// order and without repetitions. What cannot be resolved, or is no "host:port", stays as it is: a
// call to it says what is wrong. Blocks while it asks the resolver. Thread-safe.
std::vector<std::string> ResolveAddresses(const std::vector<std::string>& addresses);

}  // namespace seer
