#include "common/spec/sweep.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <set>

#include "common/base/error.h"
#include "tests/support/status_matchers.h"

namespace seer {
namespace {

using absl::StatusCode;
using testing::FailsWith;
using ::testing::HasSubstr;
using Values = std::map<std::string, std::string>;

v1::Sweep Grid() {
  v1::Sweep sweep;
  sweep.set_name("rates");
  sweep.mutable_spec()->mutable_data()->set_pool("cats");
  sweep.mutable_spec()->mutable_optim()->set_steps(10);
  auto* parameter = sweep.add_parameters();
  parameter->set_field("optim.lr");
  for (const char* value : {"0.1", "0.3"}) parameter->add_values(value);
  parameter = sweep.add_parameters();
  parameter->set_field("loss.swav.prototypes");
  for (const char* value : {"10", "20", "30"}) parameter->add_values(value);
  return sweep;
}

v1::Sweep Random(double min, double max, bool logarithmic, bool whole, const std::string& field) {
  v1::Sweep sweep = Grid();
  sweep.clear_parameters();
  sweep.set_search(v1::SWEEP_SEARCH_RANDOM);
  sweep.set_trials(400);
  auto* const parameter = sweep.add_parameters();
  parameter->set_field(field);
  parameter->mutable_range()->set_min(min);
  parameter->mutable_range()->set_max(max);
  parameter->mutable_range()->set_logarithmic(logarithmic);
  parameter->mutable_range()->set_whole(whole);
  return sweep;
}

std::vector<double> Drawn(const v1::Sweep& sweep) {
  std::vector<double> drawn;
  for (int i = 1; i <= sweep.trials(); ++i)
    drawn.push_back(std::stod(TrialValues(sweep, i).begin()->second));
  return drawn;
}

TEST(Sweep, AGridHasEveryCombinationTheLastParameterFastest) {
  ASSERT_OK_AND_ASSIGN(const v1::Sweep sweep, CompleteSweep(Grid()));
  EXPECT_EQ(sweep.trials(), 6);
  EXPECT_EQ(sweep.parallel(), 4);
  EXPECT_EQ(TrialValues(sweep, 1), (Values{{"optim.lr", "0.1"}, {"loss.swav.prototypes", "10"}}));
  EXPECT_EQ(TrialValues(sweep, 2), (Values{{"optim.lr", "0.1"}, {"loss.swav.prototypes", "20"}}));
  EXPECT_EQ(TrialValues(sweep, 6), (Values{{"optim.lr", "0.3"}, {"loss.swav.prototypes", "30"}}));
  std::set<Values> all;
  for (int i = 1; i <= 6; ++i) all.insert(TrialValues(sweep, i));
  EXPECT_EQ(all.size(), 6u);
  ASSERT_OK_AND_ASSIGN(const v1::JobSpec spec, TrialSpec(sweep, 5));
  EXPECT_EQ(spec.metadata().name(), "rates-5");
  EXPECT_EQ(spec.optim().lr(), 0.3);
  EXPECT_EQ(spec.loss().swav().prototypes(), 20);
  EXPECT_EQ(spec.optim().steps(), 10);
}

TEST(Sweep, RandomTrialsFillTheirRangeAndDependOnSeedAndNumberAlone) {
  ASSERT_OK_AND_ASSIGN(v1::Sweep sweep, CompleteSweep(Random(0.01, 1, false, false, "optim.lr")));
  const std::vector<double> drawn = Drawn(sweep);
  double mean = 0;
  for (const double value : drawn) {
    EXPECT_GE(value, 0.01);
    EXPECT_LE(value, 1);
    mean += value / static_cast<double>(drawn.size());
  }
  EXPECT_NEAR(mean, 0.505, 0.06);
  EXPECT_EQ(Drawn(sweep), drawn);
  sweep.set_seed(2);
  EXPECT_NE(Drawn(sweep), drawn);
}

TEST(Sweep, LogarithmicRangesAreUniformInTheLogarithm) {
  ASSERT_OK_AND_ASSIGN(const v1::Sweep sweep,
                       CompleteSweep(Random(0.001, 10, true, false, "optim.lr")));
  double mean = 0;
  for (const double value : Drawn(sweep)) mean += std::log10(value) / sweep.trials();
  EXPECT_NEAR(mean, -1, 0.2);
}

TEST(Sweep, WholeNumbersComeUpToBothEnds) {
  for (const bool logarithmic : {false, true}) {
    ASSERT_OK_AND_ASSIGN(const v1::Sweep sweep, CompleteSweep(Random(2.5, 6.5, logarithmic, true,
                                                                     "loss.swav.prototypes")));
    const std::vector<double> drawn = Drawn(sweep);
    EXPECT_EQ(std::set<double>(drawn.begin(), drawn.end()), (std::set<double>{3, 4, 5, 6}));
  }
}

TEST(Sweep, ValuesMayBeDrawnToo) {
  v1::Sweep sweep = Grid();
  sweep.set_search(v1::SWEEP_SEARCH_RANDOM);
  sweep.set_trials(60);
  ASSERT_OK_AND_ASSIGN(sweep, CompleteSweep(sweep));
  std::set<Values> all;
  for (int i = 1; i <= 60; ++i) all.insert(TrialValues(sweep, i));
  EXPECT_EQ(all.size(), 6u) << "parameters are drawn apart";
}

TEST(Sweep, RefusesWhatItCannotBeAndSaysWhat) {
  const auto refused = [](const v1::Sweep& sweep, absl::string_view reason,
                          const std::string& piece) {
    EXPECT_THAT(CompleteSweep(sweep), FailsWith(StatusCode::kInvalidArgument, reason, piece));
    EXPECT_FALSE(GetErrorDetail(CompleteSweep(sweep).status())->hint.empty()) << piece;
  };
  v1::Sweep sweep = Grid();
  sweep.set_name("Rates");
  refused(sweep, reason::kOutOfRange, "sweep.name");
  sweep.set_name(std::string(60, 'x'));
  refused(sweep, reason::kOutOfRange, "at most 58");
  sweep = Grid();
  sweep.clear_parameters();
  refused(sweep, reason::kMissingField, "parameters");
  sweep = Grid();
  sweep.mutable_parameters(0)->clear_values();
  refused(sweep, reason::kOutOfRange, "at least one value");
  sweep = Grid();
  *sweep.add_parameters() = sweep.parameters(0);
  refused(sweep, reason::kOutOfRange, "a second time");
  sweep = Grid();
  for (int i = 0; i < 500; ++i) sweep.mutable_parameters(0)->add_values("0.5");
  refused(sweep, reason::kOutOfRange, "more than 1000 trials");
  sweep = Grid();
  sweep.set_parallel(-1);
  refused(sweep, reason::kOutOfRange, "parallel");
  sweep = Grid();
  sweep.set_budget_device_seconds(std::nan(""));
  refused(sweep, reason::kOutOfRange, "budget");
  sweep = Random(1, 0.5, false, false, "optim.lr");
  refused(sweep, reason::kOutOfRange, "the smaller first");
  sweep = Random(0, 0.5, true, false, "optim.lr");
  refused(sweep, reason::kOutOfRange, "above 0 with logarithmic");
  sweep = Random(1.1, 1.9, false, true, "optim.lr");
  refused(sweep, reason::kOutOfRange, "a whole number");
  sweep = Random(0.1, 0.5, false, false, "optim.lr");
  sweep.set_search(v1::SWEEP_SEARCH_GRID);
  refused(sweep, reason::kOutOfRange, "left out with a grid");
  sweep = Random(0.1, 0.5, false, false, "optim.lr");
  sweep.set_trials(0);
  refused(sweep, reason::kOutOfRange, "trials is 0");
}

TEST(Sweep, ATrialThatASpecCannotBeIsNamed) {
  v1::Sweep sweep = Grid();
  sweep.mutable_parameters(0)->set_values(1, "-3");
  EXPECT_THAT(CompleteSweep(sweep),
              FailsWith(StatusCode::kInvalidArgument, reason::kOutOfRange,
                        "trial 4 with loss.swav.prototypes=10, optim.lr=-3: optim.lr is -3"));
  sweep = Grid();
  sweep.mutable_parameters(0)->set_field("optim.learningRate");
  EXPECT_THAT(CompleteSweep(sweep),
              FailsWith(StatusCode::kInvalidArgument, reason::kUnknownKey, "optim.learningRate"));
  sweep = Grid();
  sweep.mutable_parameters(1)->set_values(0, "ten");
  EXPECT_THAT(CompleteSweep(sweep),
              FailsWith(StatusCode::kInvalidArgument, reason::kWrongType, "a whole number"));
}

}  // namespace
}  // namespace seer
