// A job file on the command line, as `seer job submit` and `seer job plan` take it.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "seer/v1/job_spec.pb.h"

namespace CLI {
class App;
}

namespace seer::client {

struct SpecOptions {
  std::string file;
  std::vector<std::string> sets;
  std::string name;
};

// With recipes, --set and defaults applied, and valid. INVALID_ARGUMENT: what is wrong, and where.
absl::StatusOr<v1::JobSpec> ReadSpec(const SpecOptions& options);

void AddSpecOptions(CLI::App& app, SpecOptions& options, bool required = true);

}  // namespace seer::client
