#include "common/objectstore/object_key.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/error.h"

namespace seer {

absl::Status CheckObjectKey(absl::string_view key, absl::string_view reserved) {
  bool bad = key.empty() || key.find('\0') != absl::string_view::npos;
  for (absl::string_view part : absl::StrSplit(key, '/')) {
    bad = bad || part.empty() || part == "." || part == ".." ||
          (!reserved.empty() && absl::StartsWith(part, reserved));
  }
  if (!bad) return absl::OkStatus();
  return Error(absl::StatusCode::kInvalidArgument, reason::kInvalidArgument,
               absl::StrCat("object key '", key, "' is not a relative path"));
}

}  // namespace seer
