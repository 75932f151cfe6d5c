// How people name a checkpoint.
#pragma once

#include <string>

namespace seer::client {

// "jobs/JOB/checkpoints/STEP" of that, of "JOB/checkpoints/STEP" and of "JOB/STEP".
std::string CheckpointName(const std::string& text);

}  // namespace seer::client
