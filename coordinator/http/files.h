// The files that are part of the program and served as they are. Thread-safe.
#pragma once

#include "absl/strings/string_view.h"

namespace seer::coordinator {

struct ServedFile {
  absl::string_view path;  // "/app.js"
  absl::string_view content_type;
  absl::string_view bytes;
};

// nullptr: there is none at this path.
const ServedFile* FindFile(absl::string_view path);

}  // namespace seer::coordinator
