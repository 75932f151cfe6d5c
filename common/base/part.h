// One part of work that several processes share: "3/16" is the third of 16. A value.
#pragma once

#include <string>

#include "absl/status/statusor.h"

namespace seer {

struct Part {
  int number = 1;  // from 1
  int of = 1;
};

// INVALID_ARGUMENT with the field "part": there is no such part.
absl::Status CheckPart(const Part& part);
// Also INVALID_ARGUMENT: not two numbers.
absl::StatusOr<Part> ParsePart(const std::string& text);

}  // namespace seer
