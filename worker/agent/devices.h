// What this machine offers: the devices and addresses of an agent's hello. Pure but for the host's
// name.
#pragma once

#include <string>

#include "seer/internal/v1/agent.pb.h"
#include "worker/agent/agent.h"

namespace seer::worker {

// Without the ranks that run.
internal::v1::Hello DescribeMachine(const AgentConfig& config, const std::string& incarnation);

// CUDA_VISIBLE_DEVICES; empty: all are.
std::string VisibleDevices();

// What the rank that has `device` of the machine's devices computes on: Assign.device.
std::string DeviceName(const AgentConfig& config, int device);

}  // namespace seer::worker
