#include "engine/optim/param_groups.h"

#include <algorithm>
#include <numeric>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/error.h"

namespace seer::engine {
namespace {

constexpr size_t kNearNames = 3;

bool Matches(const ParameterGroup& group, const std::string& name) {
  return PatternDistance(group.match, name) == 0;
}

bool IsNormOrBias(const at::Tensor& parameter) { return parameter.dim() <= 1; }

absl::Status Unused(size_t index, const std::string& text, const std::string& hint) {
  return Error(absl::StatusCode::kInvalidArgument, reason::kInvalidArgument,
               absl::StrCat("optim.groups[", index, "].match: ", text))
      .Field(absl::StrCat("optim.groups[", index, "].match"))
      .Hint(hint);
}

absl::Status NoParameter(const std::vector<NamedTensor>& parameters, const OptimConfig& config,
                         size_t index) {
  const std::string& pattern = config.groups[index].match;
  for (const NamedTensor& p : parameters) {
    if (!Matches(config.groups[index], p.name)) continue;
    size_t first = 0;
    while (!Matches(config.groups[first], p.name)) ++first;
    return Unused(index,
                  absl::StrCat("'", pattern, "' matches only parameters of groups before it, as ",
                               p.name, " of '", config.groups[first].match, "'"),
                  "put the narrower pattern first, or take one out");
  }
  std::vector<std::string> names;
  for (const NamedTensor& p : parameters) names.push_back(p.name);
  std::stable_sort(names.begin(), names.end(), [&](const std::string& a, const std::string& b) {
    return PatternDistance(pattern, a) < PatternDistance(pattern, b);
  });
  names.resize(std::min(names.size(), kNearNames));
  return Unused(index, absl::StrCat("no parameter is called '", pattern, "'"),
                absl::StrCat("the nearest names are ", absl::StrJoin(names, ", "),
                             "; '*' stands for any text"));
}

}  // namespace

size_t PatternDistance(std::string_view pattern, std::string_view name) {
  // Levenshtein's table, one row a character of the pattern: cost[j] is that of name's first j.
  std::vector<size_t> cost(name.size() + 1);
  std::iota(cost.begin(), cost.end(), size_t{0});
  for (const char c : pattern) {
    size_t diagonal = cost[0];
    if (c != '*') ++cost[0];
    for (size_t j = 1; j <= name.size(); ++j) {
      const size_t replaced = diagonal + (c == '?' || c == name[j - 1] ? 0 : 1);
      diagonal = cost[j];
      cost[j] = c == '*' ? std::min(cost[j], cost[j - 1])
                         : std::min({cost[j] + 1, cost[j - 1] + 1, replaced});
    }
  }
  return cost[name.size()];
}

absl::StatusOr<std::vector<OptimParameter>> ApplyGroups(const std::vector<NamedTensor>& parameters,
                                                        const OptimConfig& config) {
  std::vector<OptimParameter> chosen;
  std::vector<bool> used(config.groups.size(), false);
  for (const NamedTensor& p : parameters) {
    ParameterRules rules;
    if (!config.decay_norm_and_bias && IsNormOrBias(p.tensor)) {
      rules.adapted = false;
      rules.weight_decay = 0;
    }
    for (size_t i = 0; i < config.groups.size(); ++i) {
      const ParameterGroup& group = config.groups[i];
      if (!Matches(group, p.name)) continue;
      used[i] = true;
      rules.lr_scale = group.lr_scale;
      if (group.weight_decay) rules.weight_decay = group.weight_decay;
      rules.adapted = group.adapt.value_or(rules.adapted);
      break;
    }
    chosen.push_back({p.name, p.tensor, rules});
  }
  for (size_t i = 0; i < used.size(); ++i) {
    if (!used[i]) return NoParameter(parameters, config, i);
  }
  return chosen;
}

}  // namespace seer::engine
