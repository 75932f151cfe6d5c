#include "client/plan.h"

#include <gtest/gtest.h>

#include <map>

#include "absl/strings/match.h"
#include "common/spec/defaults.h"
#include "tests/support/status_matchers.h"

namespace seer::client {
namespace {

v1::JobSpec Spec(const std::string& preset, int ranks) {
  v1::JobSpec spec;
  spec.mutable_model()->mutable_trunk()->set_preset(preset);
  spec.mutable_data()->set_pool("photos");
  spec.mutable_data()->set_global_batch(64);
  spec.mutable_optim()->set_steps(100);
  spec.mutable_distributed()->set_ranks(ranks);
  FillDefaults(spec);
  return spec;
}

std::map<std::string, std::string> Plan(const v1::JobSpec& spec) {
  const auto lines = PlanJob(spec);
  EXPECT_OK(lines);
  return lines.ok() ? std::map<std::string, std::string>(lines->begin(), lines->end())
                    : std::map<std::string, std::string>();
}

TEST(Plan, CountsTheTrunkOfThePaper) {
  // RegNetY-128GF: depths and widths of the SWAG release; 644.8 M parameters with its classifier of
  // 1000 x 7392 + 1000, which is no part of a trunk: 637.4 M.
  auto plan = Plan(Spec("regnety_128gf", 2));
  EXPECT_TRUE(absl::StrContains(plan["Trunk"], "stages 2/7/17/1, widths 528/1056/2904/7392"))
      << plan["Trunk"];
  EXPECT_TRUE(absl::StrContains(plan["Parameters"], "trunk 637.4")) << plan["Parameters"];
}

TEST(Plan, SaysRanksStepsAndTraffic) {
  auto one = Plan(Spec("regnety_200mf", 1)), two = Plan(Spec("regnety_200mf", 2));
  EXPECT_EQ(one["Ranks"], "1 x 64 images");
  EXPECT_EQ(two["Ranks"], "2 x 32 images");
  EXPECT_EQ(one["Steps"], "100 of 64 images: 6400 images");
  EXPECT_EQ(one["Traffic a step"], "none: one rank");
  EXPECT_TRUE(absl::StrContains(two["Traffic a step"], "over 2 ranks"));
  EXPECT_EQ(one["Parameters"], two["Parameters"]);
}

TEST(Plan, HalfPrecisionHalvesTheActivationsOnly) {
  v1::JobSpec spec = Spec("regnety_200mf", 1);
  spec.mutable_precision()->set_mode(v1::PRECISION_MODE_FP32);
  const std::string full = Plan(spec)["Memory a rank"];
  spec.mutable_precision()->set_mode(v1::PRECISION_MODE_BF16);
  const std::string half = Plan(spec)["Memory a rank"];
  const auto split = [](const std::string& text) {
    const size_t at = text.find("activations");
    return std::pair(text.substr(0, at), text.substr(at));
  };
  EXPECT_EQ(split(full).first, split(half).first);
  EXPECT_NE(split(full).second, split(half).second);
}

TEST(Plan, CountsTheOptimizersState) {
  v1::JobSpec spec = Spec("regnety_128gf", 1);
  const auto amount = [](const std::string& text, const std::string& after) {
    const size_t at = text.find(after);
    return at == std::string::npos ? "none" : text.substr(at + after.size(), 8);
  };
  auto sgd = Plan(spec);
  const std::string weights = amount(sgd["Memory a rank"], "weights ");
  EXPECT_EQ(amount(sgd["Memory a rank"], "momentum "), weights);
  spec.mutable_optim()->set_kind(v1::OPTIMIZER_KIND_LARS);
  EXPECT_EQ(Plan(spec)["Memory a rank"], sgd["Memory a rank"]);
  spec.mutable_optim()->set_kind(v1::OPTIMIZER_KIND_ADAMW);
  auto adamw = Plan(spec);
  EXPECT_EQ(amount(adamw["Memory a rank"], "weights "), weights);
  EXPECT_NEAR(std::stod(amount(adamw["Memory a rank"], "two moments ")), 2 * std::stod(weights),
              0.15);  // they are printed with one decimal
  // Weights and state: 3 instead of 2 numbers a parameter.
  EXPECT_NEAR(std::stod(amount(adamw["Checkpoints"], "steps, ")) /
                  std::stod(amount(sgd["Checkpoints"], "steps, ")),
              1.5, 0.03);
}

TEST(Plan, AnEvaluationHasNoStepsOrCheckpoints) {
  v1::JobSpec spec = Spec("regnety_200mf", 1);
  spec.set_kind(v1::JOB_KIND_EVAL_KNN);
  auto plan = Plan(spec);
  EXPECT_EQ(plan.count("Steps"), 0u);
  EXPECT_EQ(plan.count("Checkpoints"), 0u);
}

TEST(Plan, AnUnknownPresetIsAnError) { EXPECT_FALSE(PlanJob(Spec("regnety_1gf", 1)).ok()); }

}  // namespace
}  // namespace seer::client
