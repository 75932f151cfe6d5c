// Labels of machines, by which jobs choose them: key=value. Thread-safe: pure functions.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace seer {

inline constexpr absl::string_view kLabelRule =
    "a key and a value of 1 to 63 letters, digits, '-', '_', '.' and '/'";
// Every machine has it, beside its own labels: "cpu" or "cuda".
inline constexpr absl::string_view kDeviceLabel = "device";
// Means one machine wherever a label's key says what ranks must share.
inline constexpr absl::string_view kMachineTopology = "machine";

bool IsLabelKey(absl::string_view key);
bool IsLabelValue(absl::string_view value);

// The labels that a machine may announce: at most 32, none of them the two words above.
// INVALID_ARGUMENT: field "label".
absl::Status CheckMachineLabels(const std::map<std::string, std::string>& labels);

// "rack=7" each. INVALID_ARGUMENT as CheckMachineLabels, or without '=', or a key twice.
absl::StatusOr<std::map<std::string, std::string>> ParseMachineLabels(
    const std::vector<std::string>& texts);

}  // namespace seer
