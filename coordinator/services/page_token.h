// Where a list goes on: opaque to clients, bound to the list it came from.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace seer::coordinator {

// `list` names the method; `parts` must not hold ':'.
std::string MakePageToken(const std::string& list, const std::vector<std::string>& parts);
// The parts; none for an empty token.
// INVALID_ARGUMENT with INVALID_PAGE_TOKEN: not `count` parts of this list.
absl::StatusOr<std::vector<std::string>> ReadPageToken(const std::string& list, size_t count,
                                                       const std::string& token);

// 0: `by_default`; more than `most`: `most`. INVALID_ARGUMENT: negative.
absl::StatusOr<int> PageSize(int wanted, int by_default, int most);

}  // namespace seer::coordinator
