// The cost model's fit and what it makes of work and traffic. No torch.
#include "engine/arch/cost_model.h"

#include <cmath>
#include <limits>

#include "common/base/reasons.h"
#include "tests/support/status_matchers.h"

namespace seer::engine {
namespace {

using seer::testing::FailsWith;

NetworkCost Cost(const std::string& preset, int size) {
  return *CountNetwork({*TrunkPreset(preset), {2048}, 128, true, {300}, {{2, size}}});
}

WorkAmounts WorkOf(const std::string& preset, int size, int64_t images) {
  const NetworkCost cost = Cost(preset, size);
  StepShape step;
  step.images = images;
  return CountWork(cost, step, std::vector<bool>(cost.resolutions[0].trunk.segments.size(), false));
}

const CostConstants kTrue = {{2e-11, 8e-11, 3e-10, 2e-5, 4e-8, 1e-9}};

StepSample Sample(const std::string& preset, int size, int64_t images) {
  const WorkAmounts work = WorkOf(preset, size, images);
  const StepTime time = PredictStep(kTrue, work);
  return {work, time.network, time.augment, time.optimizer};
}

std::vector<StepSample> Samples() {
  return {Sample("regnety_200mf", 32, 4),  Sample("regnety_200mf", 96, 8),
          Sample("regnetx_400mf", 64, 16), Sample("resnet50", 64, 4),
          Sample("regnety_1.6gf", 96, 2),  Sample("resnext50_32x4d", 64, 8)};
}

TEST(CostModel, FindsTheConstantsOfAMachineThatFollowsIt) {
  ASSERT_OK_AND_ASSIGN(const CostConstants fitted, FitCosts(Samples()));
  for (size_t k = 0; k < kWorkKinds; ++k)
    EXPECT_NEAR(fitted.seconds[k] / kTrue.seconds[k], 1, 1e-4) << WorkName(static_cast<Work>(k));
  const ModelError error =
      MeasureError(fitted, {Sample("regnety_800mf", 160, 16), Sample("regnetx_3.2gf", 96, 4)});
  EXPECT_LT(error.largest, 1e-4);
  EXPECT_EQ(error.steps, 2);
}

TEST(CostModel, ReportsHowFarOffItIs) {
  ASSERT_OK_AND_ASSIGN(const CostConstants fitted, FitCosts(Samples()));
  StepSample slow = Sample("regnety_800mf", 160, 16), right = Sample("regnetx_3.2gf", 96, 4);
  for (double* seconds : {&slow.network_seconds, &slow.augment_seconds, &slow.optimizer_seconds})
    *seconds *= 1.25;
  const ModelError error = MeasureError(fitted, {slow, right});
  EXPECT_NEAR(error.largest, 0.2, 1e-3);  // |1 / 1.25 - 1|
  EXPECT_NEAR(error.mean, 0.1, 1e-3);
}

TEST(CostModel, NoConstantIsNegativeWhateverTheNoise) {
  std::vector<StepSample> samples = Samples();
  for (size_t i = 0; i < samples.size(); ++i) samples[i].network_seconds *= i % 2 == 0 ? 0.5 : 2;
  ASSERT_OK_AND_ASSIGN(const CostConstants fitted, FitCosts(samples));
  double sum = 0;
  for (const double seconds : fitted.seconds) {
    EXPECT_GE(seconds, 0);
    EXPECT_TRUE(std::isfinite(seconds));
    sum += seconds;
  }
  EXPECT_GT(sum, 0);
}

TEST(CostModel, RefusesWhatCannotBeFitted) {
  std::vector<StepSample> samples = Samples();
  samples[2].augment_seconds = 0;
  EXPECT_THAT(FitCosts(samples), FailsWith(absl::StatusCode::kInvalidArgument,
                                           reason::kInvalidArgument, "took no time"));
  samples[2].augment_seconds = std::numeric_limits<double>::denorm_min();
  EXPECT_FALSE(FitCosts(samples).ok()) << "no finite constant";
  samples.resize(2);
  EXPECT_FALSE(FitCosts(samples).ok());
  EXPECT_FALSE(FitLink({{1024, 1e-4}}).ok());
}

TEST(CostModel, WorkGrowsWithRecomputeAndShrinksWithShards) {
  const NetworkCost cost = Cost("regnety_400mf", 96);
  StepShape step;
  step.images = 8;
  const size_t segments = cost.resolutions[0].trunk.segments.size();
  const WorkAmounts kept = CountWork(cost, step, std::vector<bool>(segments, false)),
                    again = CountWork(cost, step, std::vector<bool>(segments, true));
  const auto of = [](const WorkAmounts& work, Work kind) {
    return work[static_cast<size_t>(kind)];
  };
  EXPECT_NEAR(of(again, Work::kGroupedMultiplyAdds) / of(kept, Work::kGroupedMultiplyAdds), 4.0 / 3,
              1e-9);
  EXPECT_EQ(of(again, Work::kPixels), of(kept, Work::kPixels));
  EXPECT_EQ(of(kept, Work::kPixels), 8 * 2 * 96 * 96);
  step.shard_group = 4;
  const WorkAmounts shard = CountWork(cost, step, std::vector<bool>(segments, false));
  EXPECT_DOUBLE_EQ(of(shard, Work::kOptimizerNumbers), of(kept, Work::kOptimizerNumbers) / 4);
}

TEST(CostModel, FitsALinkAndHidesGradientsBehindTheBackwardPass) {
  ASSERT_OK_AND_ASSIGN(const LinkCost link, FitLink({{1e3, 1e-4 + 1e-6}, {1e6, 1e-4 + 1e-3}}));
  EXPECT_NEAR(link.latency_seconds, 1e-4, 1e-9);
  EXPECT_NEAR(link.seconds_per_byte, 1e-9, 1e-14);
  StepTraffic traffic;
  traffic.gradients = {1, 1000000, 2};
  traffic.norms = {10, 0, 2};
  TrafficTime time = PredictTraffic(link, traffic, /*network_seconds=*/1);
  EXPECT_NEAR(time.blocking, 1e-3, 1e-9);
  EXPECT_NEAR(time.hidden, 1.1e-3, 1e-9);
  EXPECT_EQ(time.exposed, 0);
  time = PredictTraffic(link, traffic, /*network_seconds=*/3e-4);
  EXPECT_NEAR(time.exposed, 1.1e-3 - 2e-4, 1e-9);
  traffic.gradients.group = 8;
  EXPECT_NEAR(PredictTraffic(link, traffic, 1).hidden, 3e-4 + 1e-3 * 2 * 7 / 8, 1e-9);
}

}  // namespace
}  // namespace seer::engine
