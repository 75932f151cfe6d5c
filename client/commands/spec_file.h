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

// With recipes and --set applied, but without defaults, and valid with them: the coordinator knows
// more of them, as the model of a checkpoint.
absl::StatusOr<v1::JobSpec> ReadGivenSpec(const SpecOptions& options);
// The same for a file with several jobs: --name names the only one. Each comes after those of the
// file that it waits for by chain.after. CIRCULAR_CHAIN: they wait for each other.
absl::StatusOr<std::vector<v1::JobSpec>> ReadGivenSpecs(const SpecOptions& options);

struct SpecFlags {
  bool required = true;       // the file is
  const char* named = "job";  // what --name names
};
void AddSpecOptions(CLI::App& app, SpecOptions& options, const SpecFlags& flags = {});

}  // namespace seer::client
