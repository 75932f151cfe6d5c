#include "common/spec/health.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <set>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/spec/rules.h"
#include "common/spec/validate.h"
#include "common/spec/yaml.h"

namespace seer {
namespace {

constexpr int kMaxRules = 32;
constexpr int64_t kForSteps = 20;
// What a roll-back may change: nothing that weights and optimiser state would not fit any more.
constexpr std::array kMayBeSet = {"optim.",
                                  "loss.swav.temperature",
                                  "loss.swav.epsilon",
                                  "loss.swav.sinkhornIterations",
                                  "loss.swav.sinkhornDomain",
                                  "loss.swav.hardCodeSteps",
                                  "augment.photometry.",
                                  "precision."};

v1::HealthRuleSpec Rule(const char* name, v1::HealthSignal signal, int64_t for_steps,
                        v1::HealthAction action) {
  v1::HealthRuleSpec rule;
  rule.set_name(name);
  rule.set_signal(signal);
  rule.set_for_steps(for_steps);
  rule.set_action(action);
  return rule;
}

// Bounds are those at which runs that were made to collapse are told from sound ones; see
// docs/operations.md.
std::vector<v1::HealthRuleSpec> BuiltInRules(const v1::JobSpec& spec) {
  std::vector<v1::HealthRuleSpec> rules = {
      Rule("uniform-loss", v1::HEALTH_SIGNAL_LOSS_OVER_LN_K, 500, v1::HEALTH_ACTION_PAUSE),
      Rule("few-prototypes", v1::HEALTH_SIGNAL_PROTOTYPES_USED_RATIO, 500, v1::HEALTH_ACTION_ALERT),
      Rule("feature-collapse", v1::HEALTH_SIGNAL_FEATURE_STD, 100, v1::HEALTH_ACTION_PAUSE),
      Rule("refused-steps", v1::HEALTH_SIGNAL_SKIPPED_RATIO, 50, v1::HEALTH_ACTION_ROLL_BACK),
      Rule("data-stall", v1::HEALTH_SIGNAL_DATA_STALL_RATIO, 200, v1::HEALTH_ACTION_ALERT)};
  rules[0].set_above(0.98);
  rules[1].set_below(0.5);
  // Of features that point everywhere alike it is 1 / sqrt(dim).
  rules[2].set_below(0.25 / std::sqrt(static_cast<double>(spec.model().head().output_dim())));
  rules[3].set_above(0.05);
  rules[4].set_above(0.05);
  return rules;
}

absl::Status Refused(const std::string& field, const std::string& what, const std::string& hint) {
  return Error(absl::StatusCode::kInvalidArgument, reason::kOutOfRange,
               absl::StrCat(field, " ", what))
      .Field(field)
      .Hint(hint);
}

absl::Status CheckRule(const v1::JobSpec& spec, const v1::HealthRuleSpec& rule,
                       const std::string& field) {
  SEER_RETURN_IF_ERROR(CheckName(field + ".name", rule.name()));
  if (rule.signal() == v1::HEALTH_SIGNAL_UNSPECIFIED || !v1::HealthSignal_IsValid(rule.signal()))
    return Refused(field + ".signal", "is not set", "say what it watches, as LOSS_OVER_LN_K");
  if (rule.has_above() == rule.has_below())
    return Refused(field, "has " + std::string(rule.has_above() ? "two bounds" : "no bound"),
                   "set one of above and below");
  if (!std::isfinite(rule.above()) || !std::isfinite(rule.below()))
    return Refused(field, "has a bound that is not finite", "set a number");
  if (rule.for_steps() < 0)
    return Refused(field + ".forSteps",
                   absl::StrCat("is ", rule.for_steps(), ", must be at least 1"),
                   "leave it out for 20");
  if (rule.after_step() < 0)
    return Refused(field + ".afterStep",
                   absl::StrCat("is ", rule.after_step(), ", must be at least 0"),
                   "leave it out for the end of the warm-up");
  if (rule.set().empty()) return absl::OkStatus();
  if (rule.action() != v1::HEALTH_ACTION_ROLL_BACK)
    return Refused(field + ".set", "is there, but the action is not ROLL_BACK",
                   "set action to ROLL_BACK, or leave set out");
  v1::JobSpec changed = spec;
  changed.clear_alerts();
  for (const auto& [path, value] : rule.set()) {
    const bool may = path != "optim.steps" && path != "optim.kind" && path != "optim.groups" &&
                     std::any_of(kMayBeSet.begin(), kMayBeSet.end(), [&path = path](const char* p) {
                       return absl::StartsWith(path, p);
                     });
    if (!may)
      return Refused(absl::StrCat(field, ".set"), absl::StrCat("names ", path),
                     "it may change values of optim (but steps, kind and groups), temperature, "
                     "epsilon and Sinkhorn of loss.swav, augment.photometry and precision");
  }
  SEER_RETURN_IF_ERROR(ApplyOverrides(rule.set(), changed));
  return ValidateJobSpec(changed);
}

}  // namespace

std::vector<v1::HealthRuleSpec> HealthRulesOf(const v1::JobSpec& spec) {
  if (spec.alerts().mode() == v1::HEALTH_MODE_OFF || spec.kind() != v1::JOB_KIND_PRETRAIN)
    return {};
  std::vector<v1::HealthRuleSpec> rules = BuiltInRules(spec);
  for (const v1::HealthRuleSpec& rule : spec.alerts().rules()) {
    const auto same =
        std::find_if(rules.begin(), rules.end(),
                     [&](const v1::HealthRuleSpec& other) { return other.name() == rule.name(); });
    if (same != rules.end()) {
      *same = rule;
    } else {
      rules.push_back(rule);
    }
  }
  for (v1::HealthRuleSpec& rule : rules) {
    if (rule.for_steps() == 0) rule.set_for_steps(kForSteps);
    if (!rule.has_after_step()) rule.set_after_step(spec.optim().warmup_steps());
    if (rule.action() == v1::HEALTH_ACTION_UNSPECIFIED) rule.set_action(v1::HEALTH_ACTION_ALERT);
  }
  return rules;
}

absl::Status CheckHealthRules(const v1::JobSpec& spec) {
  const v1::AlertsSpec& alerts = spec.alerts();
  if (!v1::HealthMode_IsValid(alerts.mode()))
    return Refused("alerts.mode", absl::StrCat("is ", static_cast<int>(alerts.mode())),
                   "OFF, ADVISE or ACT");
  if (alerts.rules_size() > kMaxRules)
    return Refused("alerts.rules", absl::StrCat("has ", alerts.rules_size(), " rules"),
                   absl::StrCat("at most ", kMaxRules));
  std::set<std::string> names;
  for (int i = 0; i < alerts.rules_size(); ++i) {
    const std::string field = absl::StrCat("alerts.rules[", i, "]");
    SEER_RETURN_IF_ERROR(CheckRule(spec, alerts.rules(i), field));
    if (!names.insert(alerts.rules(i).name()).second)
      return Refused(field + ".name",
                     absl::StrCat("is '", alerts.rules(i).name(), "', as that of another rule"),
                     "give each rule a name of its own");
  }
  return absl::OkStatus();
}

absl::Status ApplyOverrides(const google::protobuf::Map<std::string, std::string>& values,
                            v1::JobSpec& spec) {
  std::set<std::string> paths;  // in an order that is always the same
  for (const auto& [path, value] : values) paths.insert(path);
  for (const std::string& path : paths)
    SEER_RETURN_IF_ERROR(ApplySet(spec, absl::StrCat(path, "=", values.at(path))));
  return absl::OkStatus();
}

double UniformLoss(const v1::SwavSpec& swav) {
  double sum = std::log(static_cast<double>(swav.prototypes()));
  for (const int64_t prototypes : swav.extra_prototypes())
    sum += std::log(static_cast<double>(prototypes));
  return sum / (1 + swav.extra_prototypes_size());
}

}  // namespace seer
