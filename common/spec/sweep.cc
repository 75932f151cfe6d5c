#include "common/spec/sweep.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "common/base/error.h"
#include "common/base/philox.h"
#include "common/base/status_macros.h"
#include "common/spec/defaults.h"
#include "common/spec/rules.h"
#include "common/spec/validate.h"
#include "common/spec/yaml.h"

namespace seer {
namespace {

constexpr int kMaxParameters = 16;
constexpr int kMaxValues = 1000;
constexpr int kMaxParallel = 1000;
constexpr double kMaxWhole = 1e15;    // exact as a double
constexpr size_t kMaxNameBytes = 58;  // with "-1000" behind it, it is a job's name

std::string NameOf(const v1::Sweep& sweep) {
  return std::string(absl::StripPrefix(sweep.name(), "sweeps/"));
}

absl::Status CheckRange(const std::string& field, const v1::SweepRange& range) {
  if (!(std::isfinite(range.min()) && std::isfinite(range.max()) && range.min() < range.max()))
    return Broken(field + "range", absl::StrCat(range.min(), " to ", range.max()),
                  "two numbers, the smaller first");
  if (range.logarithmic() && !(range.min() > 0))
    return Broken(field + "range.min", absl::StrCat(range.min()), "above 0 with logarithmic");
  if (range.whole() && std::ceil(range.min()) > std::floor(range.max()))
    return Broken(field + "range", absl::StrCat(range.min(), " to ", range.max()),
                  "a range with a whole number in it");
  if (range.whole() && std::max(std::abs(range.min()), std::abs(range.max())) > kMaxWhole)
    return Broken(field + "range", absl::StrCat(range.min(), " to ", range.max()),
                  absl::StrCat("within ", kMaxWhole));
  return absl::OkStatus();
}

absl::Status CheckParameters(const v1::Sweep& sweep) {
  if (sweep.parameters().empty())
    return Missing("parameters", "name at least one field and its values");
  if (sweep.parameters_size() > kMaxParameters)
    return Broken("parameters", absl::StrCat(sweep.parameters_size(), " parameters"),
                  absl::StrCat("at most ", kMaxParameters));
  std::set<std::string> fields;
  for (int i = 0; i < sweep.parameters_size(); ++i) {
    const v1::SweepParameter& parameter = sweep.parameters(i);
    const std::string field = absl::StrCat("parameters[", i, "].");
    if (parameter.field().empty())
      return Missing(field + "field", "name a field of the spec, as optim.lr");
    if (!fields.insert(parameter.field()).second)
      return Broken(field + "field", absl::StrCat("'", parameter.field(), "' a second time"),
                    "another field", "join the values of both");
    if (parameter.has_range() == !parameter.values().empty())
      return Broken(field + "values", parameter.has_range() ? "set beside a range" : "empty",
                    "at least one value, or a range");
    if (parameter.values_size() > kMaxValues)
      return Broken(field + "values", absl::StrCat(parameter.values_size(), " values"),
                    absl::StrCat("at most ", kMaxValues));
    if (!parameter.has_range()) continue;
    if (sweep.search() == v1::SWEEP_SEARCH_GRID)
      return Broken(field + "range", "set", "left out with a grid",
                    "list values, or draw them: --random N");
    SEER_RETURN_IF_ERROR(CheckRange(field, parameter.range()));
  }
  return absl::OkStatus();
}

// How many combinations a grid has; at most one more than kMaxSweepTrials.
int GridTrials(const v1::Sweep& sweep) {
  int64_t trials = 1;
  for (const v1::SweepParameter& parameter : sweep.parameters())
    trials = std::min<int64_t>(trials * parameter.values_size(), kMaxSweepTrials + 1);
  return static_cast<int>(trials);
}

std::string Draw(const v1::SweepParameter& parameter, Philox random) {
  if (!parameter.has_range())
    return parameter.values(
        static_cast<int>(random.Below(static_cast<uint64_t>(parameter.values_size()))));
  const v1::SweepRange& range = parameter.range();
  // Each whole number has its share of the range, the ends included.
  const double low = range.whole() ? std::ceil(range.min()) : range.min();
  const double high = range.whole() ? std::floor(range.max()) + 1 : range.max();
  const double value = range.logarithmic() ? std::exp(random.Uniform(std::log(low), std::log(high)))
                                           : random.Uniform(low, high);
  if (!range.whole()) return absl::StrCat(std::clamp(value, low, high));
  return absl::StrCat(static_cast<int64_t>(std::clamp(std::floor(value), low, high - 1)));
}

}  // namespace

std::map<std::string, std::string> TrialValues(const v1::Sweep& sweep, int number) {
  std::map<std::string, std::string> values;
  int rest = number - 1;
  for (int i = sweep.parameters_size() - 1; i >= 0; --i) {  // the last one fastest
    const v1::SweepParameter& parameter = sweep.parameters(i);
    if (sweep.search() == v1::SWEEP_SEARCH_RANDOM) {
      values[parameter.field()] =
          Draw(parameter, Philox(sweep.seed(), RandomPurpose::kSweep, static_cast<uint64_t>(number),
                                 static_cast<uint32_t>(i)));
    } else {
      values[parameter.field()] = parameter.values(rest % parameter.values_size());
      rest /= parameter.values_size();
    }
  }
  return values;
}

absl::StatusOr<v1::JobSpec> TrialSpec(const v1::Sweep& sweep, int number) {
  v1::JobSpec spec = sweep.spec();
  for (const auto& [field, value] : TrialValues(sweep, number))
    SEER_RETURN_IF_ERROR(ApplySet(spec, absl::StrCat(field, "=", value), ""));
  spec.mutable_metadata()->set_name(absl::StrCat(NameOf(sweep), "-", number));
  return spec;
}

absl::StatusOr<v1::Sweep> CompleteSweep(const v1::Sweep& given) {
  v1::Sweep sweep = given;
  const std::string name = NameOf(sweep);
  SEER_RETURN_IF_ERROR(CheckName("sweep.name", name));
  if (name.size() > kMaxNameBytes)
    return Broken("sweep.name", absl::StrCat(name.size(), " characters long"),
                  absl::StrCat("at most ", kMaxNameBytes, ", as trials are called ", name, "-1"));
  sweep.set_name(absl::StrCat("sweeps/", name));
  if (sweep.search() == v1::SWEEP_SEARCH_UNSPECIFIED) sweep.set_search(v1::SWEEP_SEARCH_GRID);
  if (sweep.search() != v1::SWEEP_SEARCH_GRID && sweep.search() != v1::SWEEP_SEARCH_RANDOM)
    return Broken("search", absl::StrCat(static_cast<int>(sweep.search())), "grid or random");
  SEER_RETURN_IF_ERROR(CheckParameters(sweep));
  if (sweep.search() == v1::SWEEP_SEARCH_GRID) {
    sweep.set_trials(GridTrials(sweep));
    if (sweep.trials() > kMaxSweepTrials)
      return Broken("parameters", "a grid of more than 1000 trials", "a grid of at most 1000",
                    "list fewer values, or draw some of the combinations: --random N");
  }
  SEER_RETURN_IF_ERROR(InRange("trials", sweep.trials(), 1, kMaxSweepTrials));
  if (sweep.parallel() == 0) sweep.set_parallel(4);
  SEER_RETURN_IF_ERROR(InRange("parallel", sweep.parallel(), 1, kMaxParallel));
  SEER_RETURN_IF_ERROR(NotNegative("budget_device_seconds", sweep.budget_device_seconds()));
  for (int number = 1; number <= sweep.trials(); ++number) {
    absl::StatusOr<v1::JobSpec> spec = TrialSpec(sweep, number);
    if (spec.ok()) {
      FillDefaults(*spec);
      if (const absl::Status valid = ValidateJobSpec(*spec); !valid.ok()) spec = valid;
    }
    if (!spec.ok())
      return WithContext(spec.status(), absl::StrCat("trial ", number, " with ",
                                                     absl::StrJoin(TrialValues(sweep, number), ", ",
                                                                   absl::PairFormatter("="))));
  }
  return sweep;
}

}  // namespace seer
