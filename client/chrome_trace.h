// What the ranks of a job recorded, in the JSON form that chrome://tracing and Perfetto open: a
// process a rank, a thread a line of it. Thread-safe: a pure function.
#pragma once

#include <string>
#include <vector>

#include "seer/v1/profiles.pb.h"

namespace seer::client {

// Times count from the earliest begin of a rank, in microseconds. Collectives that overlap get a
// line each: "communication", "communication 2", ...
std::string ChromeTrace(const v1::Profile& profile, const std::vector<v1::RankTrace>& ranks);

}  // namespace seer::client
