#include "client/launch/agents.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/address.h"
#include "common/base/error.h"
#include "common/base/label.h"
#include "common/base/status_macros.h"
#include "common/rpc/security.h"

namespace seer::client {
namespace {

// A pod's name has the index of its agent behind it, and 63 characters at most.
constexpr size_t kMaxName = 50;
constexpr int kMaxAgents = 10000, kMaxDevices = 1024;

absl::Status Refused(const char* flag, const std::string& message) {
  return Error(absl::StatusCode::kInvalidArgument, reason::kInvalidArgument, message).Field(flag);
}

bool IsName(const std::string& name) {
  const auto allowed = [](char c) {
    return absl::ascii_islower(c) || absl::ascii_isdigit(c) || c == '-';
  };
  return !name.empty() && name.size() <= kMaxName && absl::ascii_islower(name[0]) &&
         name.back() != '-' && std::all_of(name.begin(), name.end(), allowed);
}

}  // namespace

absl::Status CheckAgents(const AgentOptions& options) {
  if (!IsName(options.name)) {
    return Refused("name", absl::StrCat("--name is '", options.name,
                                        "', must be 1 to 50 of a-z, 0-9 and '-', with a letter in "
                                        "front"));
  }
  if (options.count < 1 || options.count > kMaxAgents) {
    return Refused("count", absl::StrCat("so many agents make no sense: ", options.count,
                                         ", must be from 1 to ", kMaxAgents));
  }
  if (options.gpus < 0 || DevicesOf(options) < 1 || DevicesOf(options) > kMaxDevices) {
    return Refused("devices",
                   absl::StrCat("a machine has from 1 to ", kMaxDevices, " devices, not ",
                                options.gpus != 0 ? options.gpus : options.devices));
  }
  if (options.coordinator.empty()) {
    return Error(absl::StatusCode::kInvalidArgument, reason::kMissingField,
                 "agents must know where the coordinator is")
        .Field("coordinator")
        .Hint("name it with --coordinator HOST:PORT, as the agents' machines reach it");
  }
  for (const absl::string_view address : absl::StrSplit(options.coordinator, ',')) {
    if (address.find(':') == absl::string_view::npos ||
        address.find_first_of(" \t\n\"'`$\\") != absl::string_view::npos) {
      return Refused("coordinator", absl::StrCat("'", address, "' is no HOST:PORT"));
    }
  }
  if (options.grace < absl::Seconds(1))
    return Refused("grace", "--grace must be a second at least");
  return ParseMachineLabels(options.labels).status();
}

absl::Status CheckReachable(const AgentOptions& options, absl::string_view otherwise) {
  for (const absl::string_view address : absl::StrSplit(options.coordinator, ',')) {
    if (!IsLoopback(HostOf(address))) continue;
    return Error(absl::StatusCode::kInvalidArgument, reason::kInvalidArgument,
                 absl::StrCat("the coordinator's address ", address,
                              " leads every machine to itself: agents on others do not reach it"))
        .Field("coordinator")
        .Hint(absl::StrCat("name it with --coordinator HOST:PORT, as the agents' machines reach it",
                           otherwise));
  }
  return absl::OkStatus();
}

int DevicesOf(const AgentOptions& options) {
  return options.gpus > 0 ? options.gpus : options.devices;
}

std::vector<std::string> WorkerFlags(const AgentOptions& options) {
  std::vector<std::string> flags = {
      absl::StrCat("--coordinator=", options.coordinator),
      absl::StrCat("--devices=", DevicesOf(options)),
      absl::StrCat("--device-kind=", options.gpus > 0 ? "cuda" : "cpu"),
      absl::StrCat("--grace=", absl::ToInt64Seconds(options.grace), "s"),
      absl::StrCat("--drained-exit-code=", kDrainedExitCode)};
  for (const std::string& label : options.labels) flags.push_back(absl::StrCat("--label=", label));
  flags.insert(flags.end(), options.worker_flags.begin(), options.worker_flags.end());
  return flags;
}

}  // namespace seer::client
