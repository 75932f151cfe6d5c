#include "coordinator/services/page_token.h"

#include <algorithm>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/base/error.h"

namespace seer::coordinator {

std::string MakePageToken(const std::string& list, const std::vector<std::string>& parts) {
  return absl::WebSafeBase64Escape(absl::StrCat(list, ":", absl::StrJoin(parts, ":")));
}

absl::StatusOr<std::vector<std::string>> ReadPageToken(const std::string& list, size_t count,
                                                       const std::string& token) {
  if (token.empty()) return std::vector<std::string>();
  std::string text;
  if (absl::WebSafeBase64Unescape(token, &text)) {
    std::vector<std::string> parts = absl::StrSplit(text, ':');
    if (parts.size() == count + 1 && parts.front() == list) {
      parts.erase(parts.begin());
      if (MakePageToken(list, parts) == token) return parts;  // also its last bits
    }
  }
  return Error(absl::StatusCode::kInvalidArgument, reason::kInvalidPageToken,
               "the page token is not one of this list")
      .Field("page_token")
      .Hint("pass the next_page_token of the answer before, unchanged, or none to start over");
}

absl::StatusOr<int> PageSize(int wanted, int by_default, int most) {
  if (wanted < 0) {
    return Error(absl::StatusCode::kInvalidArgument, reason::kOutOfRange,
                 absl::StrCat("page_size is ", wanted))
        .Field("page_size")
        .Hint("0 takes the default");
  }
  return wanted == 0 ? by_default : std::min(wanted, most);
}

}  // namespace seer::coordinator
