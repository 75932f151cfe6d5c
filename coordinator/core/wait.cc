#include "coordinator/core/wait.h"

#include "absl/strings/str_cat.h"

namespace seer::coordinator {

std::string WantedText(const JobNumbers& numbers, absl::string_view unit) {
  const int ranks = numbers.shape.ranks, least = LeastRanks(numbers);
  std::string text = least < ranks ? absl::StrCat(least, " to ") : "";
  absl::StrAppend(&text, ranks, " ", unit, ranks == 1 ? "" : "s");
  if (numbers.spares > 0)
    absl::StrAppend(&text, " and ", numbers.spares, numbers.spares == 1 ? " spare" : " spares");
  return text;
}

const char* WaitReasonName(WaitReason reason) {
  static constexpr const char* kNames[] = {
      "",         "devices",    "behind",  "quota",    "queue_limit", "capacity",   "labels",
      "topology", "no_workers", "backoff", "deletion", "preempting",  "recovering", "after"};
  return kNames[static_cast<int>(reason)];
}

}  // namespace seer::coordinator
