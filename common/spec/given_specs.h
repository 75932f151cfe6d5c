// Jobs as they are given to be submitted: a text of one or several, what is set over it, and where
// the recipes are that it extends.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "seer/v1/job_spec.pb.h"

namespace seer {

struct SpecText {
  std::string text, source;  // source: names the text in messages
};

// Over what a text says.
struct SpecEdits {
  std::vector<std::string> sets;  // "optim.lr=0.3"
  std::string name;               // metadata.name; empty: as it is
};

// Folders with the recipes of this installation, or of the tree that the program was built in:
// SEER_RECIPES, then beside the program.
std::vector<std::string> ShippedRecipeDirs();

// Each with its recipes and `edits`, without defaults but valid with them; each comes after those
// of the text that it waits for by chain.after. INVALID_ARGUMENT: as ParseJobSpecs and
// ValidateJobSpec; a name for several jobs; CIRCULAR_CHAIN: they wait for each other.
absl::StatusOr<std::vector<v1::JobSpec>> ReadGivenSpecs(
    const SpecText& text, const SpecEdits& edits, const std::vector<std::string>& recipe_dirs);
// The same of a text with one job.
absl::StatusOr<v1::JobSpec> ReadGivenSpec(const SpecText& text, const SpecEdits& edits,
                                          const std::vector<std::string>& recipe_dirs);

}  // namespace seer
