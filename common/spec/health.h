// Health rules of a job: those that are always there, and what a spec makes of them.
#pragma once

#include <vector>

#include "absl/status/status.h"
#include "seer/v1/job_spec.pb.h"

namespace seer {

// The built-in rules, with those of `spec` in the place of ones of the same name and after them;
// every field is set. `spec` has its defaults. None where alerts.mode is OFF, or nothing is
// trained.
std::vector<v1::HealthRuleSpec> HealthRulesOf(const v1::JobSpec& spec);

// INVALID_ARGUMENT as ValidateJobSpec: of alerts.mode and alerts.rules, and of what the spec
// becomes by a rule's `set`.
absl::Status CheckHealthRules(const v1::JobSpec& spec);

// `spec` with values for some of its fields, as a rule sets them. Errors of ApplySet.
absl::Status ApplyOverrides(const google::protobuf::Map<std::string, std::string>& values,
                            v1::JobSpec& spec);

// The largest possible value of the loss and of the mean code's entropy, ln K, over the prototypes
// of all layers in the mean.
double UniformLoss(const v1::SwavSpec& swav);

}  // namespace seer
