// What differs between two specs. Pure.
#pragma once

#include <string>
#include <vector>

#include "seer/v1/job_spec.pb.h"

namespace seer {

struct SpecDifference {
  std::string path;      // "scheduling.priority", "metadata.labels.team"; lists differ as a whole
  std::string from, to;  // YAML of one line, or "unset"
  bool operator==(const SpecDifference&) const = default;
};

// In the order of the fields.
std::vector<SpecDifference> DifferencesOf(const v1::JobSpec& from, const v1::JobSpec& to);

// "scheduling.priority from 0 to 5, failure.maxRestarts from 10 to 3"; values are cut where they
// are long, and URLs of webhooks are left out.
std::string DifferencesText(const std::vector<SpecDifference>& differences);

}  // namespace seer
