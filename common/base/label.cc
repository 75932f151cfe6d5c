#include "common/base/label.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"

namespace seer {
namespace {

constexpr size_t kMaxLabels = 32;

absl::Status Refused(const std::string& what, absl::string_view hint) {
  return Error(absl::StatusCode::kInvalidArgument, reason::kInvalidArgument, what)
      .Field("label")
      .Hint(hint);
}

}  // namespace

bool IsLabelKey(absl::string_view key) {
  return !key.empty() && key.size() <= 63 && std::all_of(key.begin(), key.end(), [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_' || c == '.' ||
           c == '/';
  });
}

bool IsLabelValue(absl::string_view value) { return IsLabelKey(value); }

absl::Status CheckMachineLabels(const std::map<std::string, std::string>& labels) {
  if (labels.size() > kMaxLabels)
    return Refused(absl::StrCat("a machine with ", labels.size(), " labels"),
                   absl::StrCat("at most ", kMaxLabels));
  for (const auto& [key, value] : labels) {
    if (key == kDeviceLabel || key == kMachineTopology)
      return Refused(absl::StrCat("'", key, "' cannot be a label's key: it has a meaning already"),
                     "choose another key");
    if (!IsLabelKey(key) || !IsLabelValue(value))
      return Refused(absl::StrCat("'", key, "=", value, "' is not a label"), kLabelRule);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::map<std::string, std::string>> ParseMachineLabels(
    const std::vector<std::string>& texts) {
  std::map<std::string, std::string> labels;
  for (const std::string& text : texts) {
    const std::vector<std::string> parts = absl::StrSplit(text, absl::MaxSplits('=', 1));
    if (parts.size() != 2)
      return Refused(absl::StrCat("'", text, "' is not a label"), "write KEY=VALUE, as rack=7");
    if (!labels.emplace(parts[0], parts[1]).second)
      return Refused(absl::StrCat("two labels '", parts[0], "'"), "give each key once");
  }
  SEER_RETURN_IF_ERROR(CheckMachineLabels(labels));
  return labels;
}

}  // namespace seer
