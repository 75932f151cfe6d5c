// Records that clients address by name.
#pragma once

#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "common/base/error.h"

namespace seer::coordinator {

// The record of a `kind`, as "queue", by its name alone or as "queues/<name>". NOT_FOUND with
// `reason` and `hint`.
template <typename Record>
absl::StatusOr<const Record*> FindNamed(const std::map<std::string, Record>& records,
                                        const std::string& name, absl::string_view kind,
                                        absl::string_view reason, absl::string_view hint) {
  const std::string key(absl::StripPrefix(name, absl::StrCat(kind, "s/")));
  if (const auto it = records.find(key); it != records.end()) return &it->second;
  return Error(absl::StatusCode::kNotFound, reason, absl::StrCat("no ", kind, " '", key, "'"))
      .Field("name")
      .Hint(hint)
      .With(kind, key);
}

}  // namespace seer::coordinator
