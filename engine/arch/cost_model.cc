#include "engine/arch/cost_model.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"

namespace seer::engine {
namespace {

constexpr double kBackwardPasses = 2;

double& At(WorkAmounts& amounts, Work kind) { return amounts[static_cast<size_t>(kind)]; }
double At(const WorkAmounts& amounts, Work kind) { return amounts[static_cast<size_t>(kind)]; }

// The kinds that make up each of a step's measured times.
const std::vector<Work> kNetwork = {Work::kMultiplyAdds, Work::kGroupedMultiplyAdds,
                                    Work::kActivationBytes, Work::kLayers};
const std::vector<Work> kAugment = {Work::kPixels};
const std::vector<Work> kOptimizer = {Work::kOptimizerNumbers};

using Row = std::vector<double>;

// Solves the normal equations of rows · x = 1; false: they have no single solution.
bool Solve(const std::vector<Row>& rows, const std::vector<size_t>& columns, Row& x) {
  const size_t n = columns.size();
  std::vector<Row> m(n, Row(n + 1, 0.0));
  for (const Row& row : rows) {
    for (size_t i = 0; i < n; ++i) {
      for (size_t j = 0; j < n; ++j) m[i][j] += row[columns[i]] * row[columns[j]];
      m[i][n] += row[columns[i]];
    }
  }
  for (size_t i = 0; i < n; ++i) {
    size_t pivot = i;
    for (size_t k = i; k < n; ++k)
      if (std::abs(m[k][i]) > std::abs(m[pivot][i])) pivot = k;
    std::swap(m[i], m[pivot]);
    if (std::abs(m[i][i]) < 1e-12) return false;
    for (size_t k = 0; k < n; ++k) {
      if (k == i) continue;
      const double factor = m[k][i] / m[i][i];
      for (size_t j = i; j <= n; ++j) m[k][j] -= factor * m[i][j];
    }
  }
  x.assign(n, 0);
  for (size_t i = 0; i < n; ++i) x[i] = m[i][n] / m[i][i];
  return true;
}

// min Σ (amounts · x / seconds − 1)² with x ≥ 0, by trying every set of columns that may be above
// 0: there are few. amounts: [samples][columns].
Row FitNonNegative(const std::vector<Row>& amounts, const Row& seconds) {
  const size_t columns = amounts.front().size();
  Row scale(columns, 0);  // so that the equations' numbers are alike
  std::vector<Row> rows = amounts;
  for (size_t c = 0; c < columns; ++c) {
    for (size_t s = 0; s < rows.size(); ++s) {
      rows[s][c] /= seconds[s];
      scale[c] = std::max(scale[c], rows[s][c]);
    }
    for (Row& row : rows)
      if (scale[c] > 0) row[c] /= scale[c];
  }
  Row best(columns, 0);
  double least = std::numeric_limits<double>::infinity();
  for (size_t set = 1; set < (size_t{1} << columns); ++set) {
    std::vector<size_t> chosen;
    for (size_t c = 0; c < columns; ++c)
      if ((set >> c & 1) != 0) chosen.push_back(c);
    Row x;
    if (!Solve(rows, chosen, x)) continue;
    if (std::any_of(x.begin(), x.end(), [](double value) { return value < 0; })) continue;
    double squares = 0;
    for (const Row& row : rows) {
      double sum = -1;
      for (size_t i = 0; i < chosen.size(); ++i) sum += row[chosen[i]] * x[i];
      squares += sum * sum;
    }
    if (squares >= least) continue;
    least = squares;
    best.assign(columns, 0);
    for (size_t i = 0; i < chosen.size(); ++i) best[chosen[i]] = x[i] / scale[chosen[i]];
  }
  return best;
}

absl::Status BadSamples(const std::string& text) {
  return Error(absl::StatusCode::kInvalidArgument, reason::kInvalidArgument, text)
      .Hint("measure again: seer job plan --calibrate");
}

double Sum(const CostConstants& constants, const WorkAmounts& work,
           const std::vector<Work>& kinds) {
  double sum = 0;
  for (const Work kind : kinds) sum += At(constants.seconds, kind) * At(work, kind);
  return sum;
}

}  // namespace

const char* WorkName(Work kind) {
  static constexpr const char* kNames[] = {"multiply_adds",    "grouped_multiply_adds",
                                           "activation_bytes", "layers",
                                           "pixels",           "optimizer_numbers"};
  return kNames[static_cast<size_t>(kind)];
}

WorkAmounts CountWork(const NetworkCost& cost, const StepShape& step,
                      const std::vector<bool>& recompute) {
  WorkAmounts work{};
  const auto add = [&](const SegmentCost& segment, double crops, bool again) {
    const double passes = 1 + kBackwardPasses + (again ? 1 : 0) + (step.parts > 1 ? 1 : 0);
    At(work, Work::kMultiplyAdds) +=
        (segment.flops_per_image - segment.grouped_per_image) * crops * passes;
    At(work, Work::kGroupedMultiplyAdds) += segment.grouped_per_image * crops * passes;
    At(work, Work::kActivationBytes) +=
        segment.activations_per_image * crops * passes * step.bytes_per_activation;
    At(work, Work::kLayers) += static_cast<double>(segment.layers * step.parts) * passes;
  };
  for (const NetworkCost::Resolution& r : cost.resolutions) {
    const double crops = static_cast<double>(r.views) * static_cast<double>(step.images);
    for (size_t i = 0; i < r.trunk.segments.size(); ++i)
      add(r.trunk.segments[i], crops, i < recompute.size() && recompute[i]);
    add(cost.head, crops, false);
    At(work, Work::kMultiplyAdds) += cost.prototypes_per_crop * crops * (1 + kBackwardPasses);
    At(work, Work::kPixels) += r.trunk.input_per_image / 3 * crops;
  }
  At(work, Work::kOptimizerNumbers) =
      static_cast<double>(cost.parameters()) / step.shard_group * (2 + step.optimizer_numbers);
  return work;
}

absl::StatusOr<CostConstants> FitCosts(const std::vector<StepSample>& samples) {
  if (samples.size() < kNetwork.size())
    return BadSamples(absl::StrCat("the cost model needs at least ", kNetwork.size(),
                                   " measured steps, not ", samples.size()));
  CostConstants constants;
  const std::vector<std::pair<const std::vector<Work>*, double StepSample::*>> parts = {
      {&kNetwork, &StepSample::network_seconds},
      {&kAugment, &StepSample::augment_seconds},
      {&kOptimizer, &StepSample::optimizer_seconds}};
  for (const auto& [kinds, member] : parts) {
    std::vector<Row> rows;
    Row seconds;
    for (const StepSample& sample : samples) {
      if (!(sample.*member > 0) || !std::isfinite(sample.*member))
        return BadSamples("a measured step took no time");
      seconds.push_back(sample.*member);
      Row& row = rows.emplace_back();
      for (const Work kind : *kinds) row.push_back(At(sample.work, kind));
    }
    const Row fitted = FitNonNegative(rows, seconds);
    for (size_t i = 0; i < kinds->size(); ++i) {
      if (!std::isfinite(fitted[i])) return BadSamples("the measured times are out of all range");
      At(constants.seconds, (*kinds)[i]) = fitted[i];
    }
  }
  return constants;
}

StepTime PredictStep(const CostConstants& constants, const WorkAmounts& work) {
  return {Sum(constants, work, kNetwork), Sum(constants, work, kAugment),
          Sum(constants, work, kOptimizer)};
}

ModelError MeasureError(const CostConstants& constants, const std::vector<StepSample>& samples) {
  ModelError error;
  for (const StepSample& sample : samples) {
    const double relative =
        std::abs(PredictStep(constants, sample.work).seconds() / sample.seconds() - 1);
    error.mean += relative;
    error.largest = std::max(error.largest, relative);
    ++error.steps;
  }
  if (error.steps > 0) error.mean /= error.steps;
  return error;
}

absl::StatusOr<LinkCost> FitLink(const std::vector<LinkSample>& samples) {
  if (samples.size() < 2) return BadSamples("the link's cost needs at least 2 measured sizes");
  std::vector<Row> rows;
  Row seconds;
  for (const LinkSample& sample : samples) {
    if (!(sample.seconds > 0)) return BadSamples("a measured all-reduce took no time");
    rows.push_back({1, sample.bytes});
    seconds.push_back(sample.seconds);
  }
  const Row fitted = FitNonNegative(rows, seconds);
  return LinkCost{fitted[0], fitted[1]};
}

TrafficTime PredictTraffic(const LinkCost& link, const StepTraffic& traffic,
                           double network_seconds) {
  const auto seconds = [&](const Collectives& c, double turns) {
    if (c.count == 0 || c.group < 2) return 0.0;
    const double ranks = c.group;
    return static_cast<double>(c.count) * link.latency_seconds * std::log2(ranks) +
           static_cast<double>(c.bytes) * link.seconds_per_byte * turns * (ranks - 1) / ranks;
  };
  TrafficTime time;
  time.blocking =
      seconds(traffic.norms, 2) + seconds(traffic.codes, 2) + seconds(traffic.numbers, 2);
  const bool whole = traffic.weights.count == 0;  // not sharded
  time.hidden = seconds(traffic.gradients, whole ? 2 : 1) + seconds(traffic.weights, 1) +
                seconds(traffic.replica_gradients, 2);
  time.exposed =
      std::max(0.0, time.hidden - network_seconds * kBackwardPasses / (1 + kBackwardPasses));
  return time;
}

}  // namespace seer::engine
