#include "common/base/part.h"

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"

namespace seer {
namespace {

constexpr int kMostParts = 1 << 16;
constexpr char kHint[] =
    "parts count from 1, up to 65,536: --part 3/16 is the third of 16, --part "
    "$((SLURM_ARRAY_TASK_ID + 1))/16 that of an array of 0-15";

}  // namespace

absl::Status CheckPart(const Part& part) {
  if (part.number >= 1 && part.number <= part.of && part.of <= kMostParts) return absl::OkStatus();
  return Error(absl::StatusCode::kInvalidArgument, reason::kOutOfRange,
               absl::StrCat("there is no part ", part.number, " of ", part.of))
      .Field("part")
      .Hint(kHint);
}

absl::StatusOr<Part> ParsePart(const std::string& text) {
  Part part;
  const size_t slash = text.find('/');
  if (slash == std::string::npos || !absl::SimpleAtoi(text.substr(0, slash), &part.number) ||
      !absl::SimpleAtoi(text.substr(slash + 1), &part.of)) {
    return Error(absl::StatusCode::kInvalidArgument, reason::kInvalidArgument,
                 absl::StrCat("'", text, "' is not a part"))
        .Field("part")
        .Hint(kHint);
  }
  SEER_RETURN_IF_ERROR(CheckPart(part));
  return part;
}

}  // namespace seer
