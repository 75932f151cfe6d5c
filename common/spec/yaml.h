// YAML <-> JobSpec by protobuf reflection: keys are field names in lowerCamelCase or snake_case,
// enums their value without the prefix ("bf16", "pretrain"), durations "90s", "5m", "36h".
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "seer/v1/job_spec.pb.h"

namespace seer {

// Of a file with jobs: more is not read.
inline constexpr size_t kMaxSpecTextBytes = size_t{4} << 20;

// Reads what stands in `text`; unset stays unset (defaults come later). Handles
// `extends: recipes/<name>` through `recipe_dirs`. `source` names the file in messages.
// INVALID_ARGUMENT with one of
//
// - YAML_SYNTAX: names the line; also a key that stands twice, a second document, not UTF-8;
// - UNKNOWN_KEY: names line, path and nearest key;
// - WRONG_TYPE: names line, path, what stood there and what was expected;
// - UNKNOWN_RECIPE: lists those there are;
// - OUT_OF_RANGE: the text is longer than kMaxSpecTextBytes.
absl::StatusOr<v1::JobSpec> ParseJobSpec(const std::string& text, const std::string& source,
                                         const std::vector<std::string>& recipe_dirs);

// Several jobs of one text, with lines of "---" in between: those that say something. Errors as
// ParseJobSpec.
absl::StatusOr<std::vector<v1::JobSpec>> ParseJobSpecs(const std::string& text,
                                                       const std::string& source,
                                                       const std::vector<std::string>& recipe_dirs);

// Applies "optim.lr=0.3" (the value is YAML) over a spec. Same errors, with "--set optim.lr"
// instead of a line; `flag` is what stands before the path there.
absl::Status ApplySet(v1::JobSpec& spec, const std::string& assignment,
                      const std::string& flag = "--set ");

// The spec as YAML in lowerCamelCase, in field order, without unset fields.
std::string FormatJobSpec(const v1::JobSpec& spec);

// The key of `candidates` nearest to `key` (edit distance), or "" if none is near.
std::string NearestKey(const std::string& key, const std::vector<std::string>& candidates);

}  // namespace seer
