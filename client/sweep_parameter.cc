#include "client/sweep_parameter.h"

#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"

namespace seer::client {
namespace {

absl::Status Wrong(const std::string& text, const std::string& why) {
  return Error(absl::StatusCode::kInvalidArgument, reason::kInvalidArgument,
               absl::StrCat("--param ", text, ": ", why))
      .Field("--param")
      .Hint("write --param optim.lr=0.1,0.3 or, with --random, --param optim.lr=0.1..1:log");
}

// At commas that are not within brackets, braces or quotes.
std::vector<std::string> SplitValues(absl::string_view text) {
  std::vector<std::string> values(1);
  int depth = 0;
  char quote = 0;
  for (const char c : text) {
    if (quote != 0) {
      if (c == quote) quote = 0;
    } else if (c == '"' || c == '\'') {
      quote = c;
    } else if (c == '[' || c == '{') {
      ++depth;
    } else if (c == ']' || c == '}') {
      --depth;
    }
    if (c == ',' && depth == 0 && quote == 0) {
      values.emplace_back();
    } else {
      values.back().push_back(c);
    }
  }
  return values;
}

}  // namespace

absl::StatusOr<v1::SweepParameter> ReadSweepParameter(const std::string& text) {
  const size_t equals = text.find('=');
  if (equals == std::string::npos || equals == 0) return Wrong(text, "no field before a '='");
  v1::SweepParameter parameter;
  parameter.set_field(text.substr(0, equals));
  const std::string said = text.substr(equals + 1);
  if (said.empty()) return Wrong(text, "no values behind the '='");
  const std::vector<std::string> parts = absl::StrSplit(said, ':');
  const std::vector<std::string> ends = absl::StrSplit(parts[0], absl::MaxSplits("..", 1));
  double low = 0, high = 0;
  if (ends.size() != 2 || !absl::SimpleAtod(ends[0], &low) || !absl::SimpleAtod(ends[1], &high)) {
    for (const std::string& value : SplitValues(said)) parameter.add_values(value);
    return parameter;
  }
  v1::SweepRange& range = *parameter.mutable_range();
  range.set_min(low);
  range.set_max(high);
  for (size_t i = 1; i < parts.size(); ++i) {
    if (parts[i] == "log") {
      range.set_logarithmic(true);
    } else if (parts[i] == "int") {
      range.set_whole(true);
    } else {
      return Wrong(text, absl::StrCat("':", parts[i], "' is neither :log nor :int"));
    }
  }
  return parameter;
}

}  // namespace seer::client
