// What is recomputed under a budget. No torch.
#include "engine/arch/memory_plan.h"

#include <algorithm>

#include "common/base/reasons.h"
#include "engine/arch/trunk_design.h"
#include "tests/support/status_matchers.h"

namespace seer::engine {
namespace {

using seer::testing::FailsWith;

MemoryDemand Demand(const std::string& preset, int64_t images) {
  const TrunkConfig config = *TrunkPreset(preset);
  MemoryDemand demand;
  demand.resolutions = {{*CountTrunk(config, 160), 2 * images},
                        {*CountTrunk(config, 96), 4 * images}};
  demand.parameters = demand.resolutions[0].cost.parameters;
  return demand;
}

std::vector<bool> All(const MemoryDemand& demand, bool value) {
  return std::vector<bool>(demand.resolutions[0].cost.segments.size(), value);
}

TEST(MemoryPlan, SegmentsAddUpToTheTrunk) {
  const TrunkCost cost = Demand("regnety_400mf", 1).resolutions[0].cost;
  ASSERT_EQ(cost.segments.size(), 18u) << "stem, 16 blocks, pool";
  SegmentCost sum;
  for (const SegmentCost& segment : cost.segments) {
    sum.parameters += segment.parameters;
    sum.flops_per_image += segment.flops_per_image;
    sum.activations_per_image += segment.activations_per_image;
  }
  EXPECT_EQ(sum.parameters, cost.parameters);
  EXPECT_DOUBLE_EQ(sum.flops_per_image, cost.flops_per_image);
  EXPECT_DOUBLE_EQ(sum.activations_per_image, cost.activations_per_image);
  EXPECT_EQ(cost.segments[0].input_per_image, 3 * 160 * 160);
  EXPECT_EQ(cost.segments[1].input_per_image, 32 * 80 * 80);
  EXPECT_EQ(cost.segments[17].input_per_image, 440 * 5 * 5);
}

TEST(MemoryPlan, TheBudgetIsKeptAndNoMoreIsRunAgainThanNeeded) {
  const MemoryDemand demand = Demand("regnety_400mf", 16);
  const MemoryPlan none = CountMemory(demand, All(demand, false)),
                   all = CountMemory(demand, All(demand, true));
  ASSERT_LT(all.peak_bytes(), none.peak_bytes());
  EXPECT_DOUBLE_EQ(all.extra_forward_ratio, 1);
  double extra = 0;
  for (const double share : {1.0, 0.8, 0.6, 0.45}) {
    const auto budget = static_cast<int64_t>(share * static_cast<double>(none.peak_bytes()));
    ASSERT_OK_AND_ASSIGN(const MemoryPlan plan, FitMemory(demand, budget));
    EXPECT_LE(plan.peak_bytes(), budget);
    EXPECT_GE(plan.extra_forward_ratio, extra) << "a smaller budget costs no less";
    extra = plan.extra_forward_ratio;
    for (size_t i = 0; i < plan.recompute.size(); ++i) {
      if (!plan.recompute[i]) continue;
      std::vector<bool> fewer = plan.recompute;
      fewer[i] = false;
      EXPECT_GT(CountMemory(demand, fewer).peak_bytes(), budget) << "segment " << i;
    }
  }
  EXPECT_GT(extra, 0);
  EXPECT_LT(extra, 1);
  EXPECT_EQ(FitMemory(demand, none.peak_bytes())->recompute, All(demand, false));
}

TEST(MemoryPlan, ABudgetThatNothingFitsSaysWhatWouldFit) {
  const MemoryDemand demand = Demand("regnety_400mf", 16);
  const absl::Status status = FitMemory(demand, 1000).status();
  EXPECT_THAT(status, FailsWith(absl::StatusCode::kInvalidArgument, reason::kOutOfRange,
                                "a budget of 1000 bytes is too small"));
  const auto detail = GetErrorDetail(status);
  ASSERT_TRUE(detail.has_value());
  EXPECT_OK(FitMemory(demand, std::stoll(detail->metadata.at("needed_bytes"))).status());
}

TEST(MemoryPlan, TheTenBillionTrunkFitsOnlyWithRecompute) {
  const MemoryDemand demand = Demand("regnety_10b", 1);
  const MemoryPlan none = CountMemory(demand, All(demand, false));
  ASSERT_OK_AND_ASSIGN(const MemoryPlan plan,
                       FitMemory(demand, none.state_bytes + none.activation_bytes / 2));
  EXPECT_GT(std::count(plan.recompute.begin(), plan.recompute.end(), true), 0);
}

}  // namespace
}  // namespace seer::engine
