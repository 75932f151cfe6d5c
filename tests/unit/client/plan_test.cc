#include "client/plan.h"

#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>

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

std::map<std::string, std::string> Plan(const v1::JobSpec& spec,
                                        const Calibration* calibration = nullptr) {
  const auto plan = PlanJob(spec, calibration);
  EXPECT_OK(plan);
  if (!plan.ok()) return {};
  const auto lines = PlanLines(spec, *plan, calibration);
  return {lines.begin(), lines.end()};
}

TEST(Plan, CountsTheTrunkOfThePaper) {
  // RegNetY-128GF: depths and widths of the SWAG release; 644.8 M parameters with its classifier of
  // 1000 x 7392 + 1000, which is no part of a trunk: 637.4 M.
  auto plan = Plan(Spec("regnety_128gf", 2));
  EXPECT_TRUE(absl::StrContains(plan["Trunk"], "stages 2/7/17/1, widths 528/1056/2904/7392"))
      << plan["Trunk"];
  EXPECT_TRUE(absl::StrContains(plan["Parameters"], "trunk 637.4")) << plan["Parameters"];
}

TEST(Plan, ShowsWhereEverySchedulesPhasesEnd) {
  v1::JobSpec spec = Spec("regnety_200mf", 1);
  EXPECT_EQ(Plan(spec)["Learning rate"], "0 to 0.15 over 0 steps, then cosine to 0.00015");
  const auto add = [](v1::ScheduleSpec& schedule, v1::ScheduleShape shape, double start, double end,
                      int64_t steps) {
    v1::SchedulePhase& phase = *schedule.add_phases();
    phase.set_shape(shape);
    phase.set_start(start);
    phase.set_end(end);
    phase.set_steps(steps);
  };
  v1::ScheduleSpec& momentum = *spec.mutable_optim()->add_schedules();
  momentum.set_value(v1::SCHEDULED_VALUE_MOMENTUM);
  add(momentum, v1::SCHEDULE_SHAPE_CONSTANT, 0.9, 0.9, 60);
  add(momentum, v1::SCHEDULE_SHAPE_CONSTANT, 0.5, 0.5, 60);
  v1::ScheduleSpec& rate = *spec.mutable_optim()->add_schedules();
  rate.set_value(v1::SCHEDULED_VALUE_LR);
  add(rate, v1::SCHEDULE_SHAPE_LINEAR, 0.15, 9.6, 10);
  add(rate, v1::SCHEDULE_SHAPE_COSINE, 9.6, 0.0096, 80);
  auto plan = Plan(spec);
  EXPECT_EQ(plan["Learning rate"],
            "0.15 at step 0, linear to 9.6 at step 9, cosine to 0.0096 at step 90, which holds");
  EXPECT_EQ(plan["Momentum"], "0.9 at step 0, 0.5 at step 60; the job ends with step 99");
}

TEST(Plan, CountsAResnet) {
  auto plan = Plan(Spec("resnet50", 1));
  EXPECT_EQ(plan["Trunk"], "resnet50, stages 3/4/6/3, widths 256/512/1024/2048");
  // 25,557,032 with its classifier of 2048 x 1000 + 1000.
  EXPECT_TRUE(absl::StrContains(plan["Parameters"], "trunk 23.51 M")) << plan["Parameters"];
}

TEST(Plan, SaysWhatAnElasticGangMayBeAndItsSpares) {
  v1::JobSpec spec = Spec("regnety_200mf", 4);
  spec.mutable_distributed()->set_min_ranks(1);
  spec.mutable_distributed()->set_spare_ranks(1);
  EXPECT_EQ(Plan(spec)["Ranks"],
            "4 x 16 images; elastic: down to 1 rank x 64 images, in 4 parts; 1 spare device");
  ASSERT_OK_AND_ASSIGN(const JobPlan plan, PlanJob(spec, nullptr));
  const auto json = nlohmann::json::parse(PlanJson(spec, plan, nullptr));
  ASSERT_EQ(json["ranks"]["elastic"].size(), 2u);
  EXPECT_EQ(json["ranks"]["elastic"][0]["count"], 2);
  EXPECT_EQ(json["ranks"]["elastic"][0]["images"], 32);
  EXPECT_EQ(json["ranks"]["elastic"][0]["parts"], 2);
  EXPECT_EQ(json["ranks"]["spares"], 1);
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

TEST(Plan, NamesTheRulesOfEveryGroupOfParameters) {
  v1::JobSpec spec = Spec("regnety_200mf", 1);
  const auto add = [&](const char* match, double lr_scale) -> v1::ParameterGroupSpec& {
    v1::ParameterGroupSpec& group = *spec.mutable_optim()->add_groups();
    group.set_match(match);
    group.set_lr_scale(lr_scale);
    return group;
  };
  add("stem.*", 0);
  v1::ParameterGroupSpec& bias = add("*.bias", 0.5);
  bias.set_weight_decay(0);
  bias.set_adapt(false);
  add("prototypes*", 1);
  auto plan = Plan(spec);
  EXPECT_EQ(plan["Group 0"], "stem.*: frozen");
  EXPECT_EQ(plan["Group 1"], "*.bias: learning rate x 0.5, weight decay 0, no layer-wise rate");
  EXPECT_EQ(plan["Group 2"], "prototypes*: as without a group");
}

TEST(Plan, HalfPrecisionHalvesTheActivationsOnly) {
  v1::JobSpec spec = Spec("regnety_200mf", 1);
  const auto memory = [&](v1::PrecisionMode mode) {
    spec.mutable_precision()->set_mode(mode);
    return Plan(spec)["Memory a rank"];
  };
  const std::string full = memory(v1::PRECISION_MODE_FP32), half = memory(v1::PRECISION_MODE_BF16);
  EXPECT_EQ(memory(v1::PRECISION_MODE_TF32), full);
  EXPECT_EQ(memory(v1::PRECISION_MODE_FP16), half);
  const auto split = [](const std::string& text) {
    const size_t at = text.find("activations");
    return std::pair(text.substr(0, at), text.substr(at));
  };
  EXPECT_EQ(split(full).first, split(half).first);
  EXPECT_NE(split(full).second, split(half).second);
}

TEST(Plan, ABudgetChoosesWhatIsRecomputed) {
  v1::JobSpec spec = Spec("regnety_400mf", 1);
  EXPECT_EQ(Plan(spec)["Recompute"], "none");
  spec.mutable_memory()->set_recompute(v1::RECOMPUTE_MODE_ALL);
  EXPECT_TRUE(absl::StrContains(Plan(spec)["Recompute"], "of 0 to 17; 100 % of the forward pass"))
      << Plan(spec)["Recompute"];
  spec.mutable_memory()->set_recompute(v1::RECOMPUTE_MODE_BUDGET);
  spec.mutable_memory()->set_budget_bytes(int64_t{3} << 30);
  EXPECT_TRUE(absl::StartsWith(Plan(spec)["Recompute"], "segments ")) << Plan(spec)["Recompute"];
  spec.mutable_memory()->set_budget_bytes(1 << 20);
  EXPECT_THAT(PlanJob(spec, nullptr),
              seer::testing::FailsWith(absl::StatusCode::kInvalidArgument, reason::kOutOfRange,
                                       "a budget of 1048576 bytes is too small"));
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

TEST(Plan, SaysHowRanksShareTheWork) {
  v1::JobSpec spec = Spec("regnety_400mf", 512);
  spec.mutable_data()->set_global_batch(4096);
  spec.mutable_distributed()->set_sync_bn_group_size(64);
  spec.mutable_distributed()->set_shard_group_size(8);
  spec.mutable_optim()->set_accumulation_steps(4);
  spec.mutable_memory()->set_offload_optimizer(true);
  auto plan = Plan(spec);
  EXPECT_EQ(plan["Batch norm"], "8 groups of 64 ranks");
  EXPECT_EQ(plan["Sharding"],
            "one copy of the state over 8 ranks, 64 copies; the optimizer's part in host memory");
  EXPECT_EQ(plan["Ranks"], "512 x 8 images, in 4 parts of 2");
  EXPECT_TRUE(absl::StrContains(plan["Memory a rank"], "in host memory")) << plan["Memory a rank"];
  for (const char* text : {"gradients: ", "reduce-scatters, ", "over 8 ranks",
                           "weights: ", "gradients between copies: ", "over 64 ranks", "codes: "})
    EXPECT_TRUE(absl::StrContains(plan["Traffic a step"], text)) << plan["Traffic a step"];
  spec.mutable_distributed()->set_sync_bn_group_size(1);
  EXPECT_TRUE(absl::StrContains(Plan(spec)["Batch norm"], "of its own"));
  EXPECT_FALSE(absl::StrContains(Plan(spec)["Traffic a step"], "batch statistics"));
}

TEST(Plan, DrawsTheLearningRate) {
  v1::JobSpec spec = Spec("regnety_200mf", 1);
  spec.mutable_optim()->set_steps(8);
  spec.mutable_optim()->set_lr(0.8);
  spec.mutable_optim()->set_warmup_steps(8);
  EXPECT_EQ(Plan(spec)["Its curve"], "▁▂▃▄▅▆▇█");
}

Calibration Known() {
  Calibration calibration;
  calibration.file = "c.json";
  calibration.host = "node7";
  calibration.cpu = "a CPU";
  calibration.device = "cpu";
  calibration.threads = 4;
  calibration.date = "2026-01-02T03:04:05Z";
  calibration.precisions["fp32"] = {{{1e-10, 2e-10, 1e-10, 1e-5, 1e-8, 1e-9}}, {0.08, 0.2, 5}};
  calibration.link = {1e-4, 1e-9};
  return calibration;
}

TEST(Plan, TimeIsUnknownWithoutACalibration) {
  EXPECT_TRUE(absl::StrContains(Plan(Spec("regnety_200mf", 1))["Time"],
                                "unknown: run `seer job plan --calibrate`"));
  v1::JobSpec half = Spec("regnety_200mf", 1);
  half.mutable_precision()->set_mode(v1::PRECISION_MODE_BF16);
  const Calibration calibration = Known();
  EXPECT_EQ(Plan(half, &calibration)["Time"], "unknown: c.json has no steps of BF16");
}

TEST(Plan, TimeComesWithItsErrorAndSource) {
  v1::JobSpec spec = Spec("regnety_200mf", 2);
  Calibration calibration = Known();
  auto lines = Plan(spec, &calibration);
  EXPECT_TRUE(absl::StrContains(lines["Time"], "waiting for collectives")) << lines["Time"];
  EXPECT_TRUE(absl::StrContains(lines["Whole job"],
                                "rank-hours; the model is 8 % off on average, 20 % at most, on 5"))
      << lines["Whole job"];
  EXPECT_TRUE(absl::StrContains(lines["Calibration"],
                                "c.json: node7, a CPU, cpu, 4 threads, measured 2026-01-02"))
      << lines["Calibration"];
  EXPECT_TRUE(absl::StrContains(lines["Calibration"], "not this machine"));
  calibration.device = "cuda:0";
  EXPECT_TRUE(absl::StrContains(Plan(spec, &calibration)["Whole job"], "GPU-hours"));
  spec.mutable_precision()->set_mode(v1::PRECISION_MODE_TF32);
  EXPECT_TRUE(absl::StrContains(Plan(spec, &calibration)["Time"], "unknown"));
  calibration.device = "cpu";
  EXPECT_FALSE(absl::StrContains(Plan(spec, &calibration)["Time"], "unknown")) << "as fp32";
}

TEST(Plan, JsonHasNumbers) {
  const v1::JobSpec spec = Spec("regnety_200mf", 2);
  const Calibration calibration = Known();
  ASSERT_OK_AND_ASSIGN(const JobPlan plan, PlanJob(spec, &calibration));
  const auto json = nlohmann::json::parse(PlanJson(spec, plan, &calibration));
  EXPECT_EQ(json.at("parameters").at("all").get<int64_t>(), plan.cost.parameters());
  EXPECT_EQ(json.at("memory").at("peakBytes").get<int64_t>(), plan.memory.peak_bytes());
  EXPECT_EQ(json.at("traffic").at("gradients").at("bytes").get<int64_t>(),
            plan.cost.parameters() * 4);
  EXPECT_EQ(json.at("steps").get<int>(), 100);
  EXPECT_EQ(json.at("learningRates").size(), 48u);
  const auto& time = json.at("time");
  EXPECT_DOUBLE_EQ(time.at("jobSeconds").get<double>(), 100 * time.at("stepSeconds").get<double>());
  EXPECT_DOUBLE_EQ(time.at("rankHours").get<double>(),
                   2 * time.at("jobSeconds").get<double>() / 3600);
  EXPECT_EQ(time.at("calibration").at("host"), "node7");
  EXPECT_TRUE(nlohmann::json::parse(PlanJson(spec, plan, nullptr)).at("time").is_null());
}

TEST(Plan, AnUnknownPresetIsAnError) {
  EXPECT_FALSE(PlanJob(Spec("regnety_1gf", 1), nullptr).ok());
}

}  // namespace
}  // namespace seer::client
