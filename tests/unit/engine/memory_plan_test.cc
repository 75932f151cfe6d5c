// What a network takes of memory and sends, and what is recomputed under a budget. No torch.
#include "engine/arch/memory_plan.h"

#include <algorithm>
#include <numeric>

#include "common/base/reasons.h"
#include "engine/arch/traffic.h"
#include "engine/arch/trunk_design.h"
#include "tests/support/status_matchers.h"

namespace seer::engine {
namespace {

using seer::testing::FailsWith;

// 2 x 160 and 4 x 96 crops; head and prototypes of SwAV's defaults.
NetworkCost Cost(const std::string& preset) {
  return *CountNetwork({*TrunkPreset(preset), {2048}, 128, true, {3000}, {{2, 160}, {4, 96}}});
}

StepShape Images(int64_t images) {
  StepShape step;
  step.images = images;
  return step;
}

std::vector<bool> All(const NetworkCost& cost, bool value) {
  return std::vector<bool>(cost.resolutions[0].trunk.segments.size(), value);
}

TEST(MemoryPlan, SegmentsAddUpToTheTrunk) {
  const TrunkCost cost = Cost("regnety_400mf").resolutions[0].trunk;
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
  const NetworkCost cost = Cost("regnety_400mf");
  const StepShape step = Images(16);
  const MemoryPlan none = CountMemory(cost, step, All(cost, false)),
                   all = CountMemory(cost, step, All(cost, true));
  ASSERT_LT(all.peak_bytes(), none.peak_bytes());
  EXPECT_DOUBLE_EQ(all.extra_forward_ratio, 1);
  double extra = 0;
  for (const double share : {1.0, 0.8, 0.6, 0.45}) {
    const auto budget = static_cast<int64_t>(share * static_cast<double>(none.peak_bytes()));
    ASSERT_OK_AND_ASSIGN(const MemoryPlan plan, FitMemory(cost, step, budget));
    EXPECT_LE(plan.peak_bytes(), budget);
    EXPECT_GE(plan.extra_forward_ratio, extra) << "a smaller budget costs no less";
    extra = plan.extra_forward_ratio;
    for (size_t i = 0; i < plan.recompute.size(); ++i) {
      if (!plan.recompute[i]) continue;
      std::vector<bool> fewer = plan.recompute;
      fewer[i] = false;
      EXPECT_GT(CountMemory(cost, step, fewer).peak_bytes(), budget) << "segment " << i;
    }
  }
  EXPECT_GT(extra, 0);
  EXPECT_LT(extra, 1);
  EXPECT_EQ(FitMemory(cost, step, none.peak_bytes())->recompute, All(cost, false));
}

TEST(MemoryPlan, ABudgetThatNothingFitsSaysWhatWouldFit) {
  const NetworkCost cost = Cost("regnety_400mf");
  const StepShape step = Images(16);
  const absl::Status status = FitMemory(cost, step, 1000).status();
  EXPECT_THAT(status, FailsWith(absl::StatusCode::kInvalidArgument, reason::kOutOfRange,
                                "a budget of 1000 bytes is too small"));
  const auto detail = GetErrorDetail(status);
  ASSERT_TRUE(detail.has_value());
  EXPECT_OK(FitMemory(cost, step, std::stoll(detail->metadata.at("needed_bytes"))).status());
}

TEST(MemoryPlan, TheTenBillionTrunkFitsOnlyWithRecompute) {
  const NetworkCost cost = Cost("regnety_10b");
  const StepShape step = Images(1);
  const MemoryPlan none = CountMemory(cost, step, All(cost, false));
  ASSERT_OK_AND_ASSIGN(const MemoryPlan plan,
                       FitMemory(cost, step, none.peak_bytes() - none.activation_bytes / 2));
  EXPECT_GT(std::count(plan.recompute.begin(), plan.recompute.end(), true), 0);
}

// By how much a process's peak grew from a batch of one image to one of `images`: what the program
// takes for itself is in neither. docs/performance.md has the command.
TEST(MemoryPlan, GrowsWithTheBatchAsAProcessDoes) {
  struct Measured {
    const char* preset;
    std::vector<NetworkShape::Crops> crops;
    int64_t images;
    int bytes_per_activation;
    bool recompute;
    double mib;
  };
  const std::vector<NetworkShape::Crops> six = {{2, 160}, {4, 96}}, two = {{2, 160}};
  const std::vector<Measured> all = {
      {"regnety_400mf", six, 16, 4, false, 861}, {"regnety_400mf", six, 16, 4, true, 334},
      {"regnety_400mf", six, 16, 2, false, 444}, {"regnety_400mf", six, 16, 2, true, 176},
      {"resnet50", two, 8, 4, false, 594},       {"resnet50", two, 8, 4, true, 201},
      {"resnet50", two, 8, 2, false, 299},       {"resnet50", two, 8, 2, true, 91}};
  for (const Measured& m : all) {
    const NetworkCost cost =
        *CountNetwork({*TrunkPreset(m.preset), {2048}, 128, true, {300}, m.crops});
    const auto peak = [&](int64_t images) {
      StepShape step = Images(images);
      step.bytes_per_activation = m.bytes_per_activation;
      return static_cast<double>(CountMemory(cost, step, All(cost, m.recompute)).peak_bytes());
    };
    EXPECT_NEAR((peak(m.images) - peak(1)) / (m.mib * (1 << 20)), 1, 0.15)
        << m.preset << ", " << m.bytes_per_activation << " bytes, recompute " << m.recompute;
  }
}

TEST(MemoryPlan, AShardGroupSharesTheState) {
  const NetworkCost cost = Cost("regnety_10b");
  StepShape step = Images(8);
  step.ranks = 64;
  step.optimizer_numbers = 2;
  const MemoryPlan whole = CountMemory(cost, step, All(cost, true));
  EXPECT_EQ(whole.weight_bytes, cost.parameters() * 4);
  EXPECT_EQ(whole.optimizer_bytes, 2 * whole.weight_bytes);
  EXPECT_EQ(whole.gathered_bytes, 0);
  step.shard_group = 16;
  const MemoryPlan shared = CountMemory(cost, step, All(cost, true));
  EXPECT_NEAR(static_cast<double>(shared.state_bytes()) / static_cast<double>(whole.state_bytes()),
              1.0 / 16, 1e-6);
  EXPECT_EQ(shared.activation_bytes, whole.activation_bytes);
  const std::vector<int64_t> units = cost.unit_parameters();
  const int64_t largest = *std::max_element(units.begin(), units.end()) * 4;
  EXPECT_GE(shared.gathered_bytes, 2 * largest) << "its weights, and its gradients";
  EXPECT_LE(shared.gathered_bytes, 5 * largest);
  EXPECT_LT(shared.peak_bytes(), whole.peak_bytes());
}

TEST(MemoryPlan, AnOffloadedOptimizerIsInHostMemory) {
  const NetworkCost cost = Cost("regnety_400mf");
  StepShape step = Images(4);
  step.optimizer_numbers = 3;
  step.offload = true;
  const MemoryPlan plan = CountMemory(cost, step, All(cost, false));
  EXPECT_EQ(plan.optimizer_bytes, 0);
  EXPECT_EQ(plan.host_bytes, (2 + 3) * cost.parameters() * 4);
}

TEST(MemoryPlan, PartsOfABatchAreThereOneAtATime) {
  const NetworkCost cost = Cost("regnety_400mf");
  StepShape step = Images(16);
  const MemoryPlan whole = CountMemory(cost, step, All(cost, false)),
                   quarter = CountMemory(cost, Images(4), All(cost, false));
  step.parts = 4;
  const MemoryPlan parts = CountMemory(cost, step, All(cost, false));
  EXPECT_LT(parts.activation_bytes, whole.activation_bytes / 3);
  EXPECT_GT(parts.activation_bytes, quarter.activation_bytes) << "all parts' pixels are there";
  EXPECT_DOUBLE_EQ(parts.extra_forward_ratio, 1) << "each part goes forward twice";
}

TEST(NetworkCost, CountsEveryLayerOfPrototypes) {
  const NetworkShape one = {*TrunkPreset("regnety_200mf"), {2048}, 128, true, {3000}, {{2, 32}}};
  NetworkShape two = one;
  two.prototypes = {3000, 1000};
  const NetworkCost a = *CountNetwork(one), b = *CountNetwork(two);
  EXPECT_EQ(b.parameters() - a.parameters(), 1000 * 128);
  EXPECT_DOUBLE_EQ(b.multiply_adds_per_image() - a.multiply_adds_per_image(), 2 * 1000 * 128);
  const std::vector<int64_t> units = b.unit_parameters();
  EXPECT_EQ(std::accumulate(units.begin(), units.end(), int64_t{0}), b.parameters());
  // 2048 outputs, their norm layer, 128 outputs.
  EXPECT_EQ(a.head.parameters, 368 * 2048 + 3 * 2048 + 2048 * 128 + 128);
}

TEST(Traffic, OfReplicasInBuckets) {
  const NetworkCost cost = Cost("regnety_400mf");
  StepShape step = Images(4);
  EXPECT_EQ(CountTraffic(cost, step).gradients.count, 0) << "one rank";
  step.ranks = 8;
  step.norm_group = 4;
  StepTraffic traffic = CountTraffic(cost, step);
  EXPECT_EQ(traffic.gradients.count, 1);
  EXPECT_EQ(traffic.gradients.bytes, cost.parameters() * 4);
  EXPECT_EQ(traffic.gradients.group, 8);
  EXPECT_EQ(traffic.weights.count, 0);
  // 16 blocks of three convolutions, four of them with a projection, and the stem; the head's one;
  // two resolutions, forward and backward.
  EXPECT_EQ(traffic.norms.count, (16 * 3 + 4 + 1 + 1) * 2 * 2);
  EXPECT_EQ(traffic.norms.group, 4);
  EXPECT_EQ(traffic.codes.count, 7);
  step.bucket_bytes = 1;
  EXPECT_EQ(CountTraffic(cost, step).gradients.count, 1 + 16 + 1 + 1)
      << "a bucket a unit with parameters: stem, blocks, head, prototypes";
  step.log_sinkhorn = false;
  EXPECT_EQ(CountTraffic(cost, step).codes.count, 5);
}

TEST(Traffic, OfShards) {
  const NetworkCost cost = Cost("regnety_400mf");
  StepShape step = Images(4);
  step.ranks = 8;
  step.shard_group = 4;
  const StepTraffic traffic = CountTraffic(cost, step);
  EXPECT_EQ(traffic.gradients.count, 19);
  EXPECT_EQ(traffic.gradients.bytes, cost.parameters() * 4);
  EXPECT_EQ(traffic.replica_gradients.group, 2);
  EXPECT_EQ(traffic.replica_gradients.bytes, cost.parameters());
  // Stem and blocks twice, the head and the prototypes once.
  EXPECT_EQ(traffic.weights.count, 2 * 17 + 2);
  step.parts = 2;
  EXPECT_EQ(CountTraffic(cost, step).gradients.count, 2 * 18 + 1);
  EXPECT_EQ(CountTraffic(cost, step).norms.count, 0) << "a rank a norm group";
}

}  // namespace
}  // namespace seer::engine
