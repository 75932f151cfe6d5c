// Whole training steps against the goldens of make_goldens.py, and the loss scale against
// torch.amp.GradScaler.
#include <cmath>
#include <functional>
#include <string>

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "engine/optim/loss_scale.h"
#include "engine/optim/optimizer.h"
#include "engine/train/step.h"
#include "tests/parity/golden.h"
#include "tests/unit/engine/small_run.h"

namespace seer::engine {
namespace {

using testing::ExpectNear;
using testing::Golden;

constexpr int kRanks = 4, kSteps = 10;

// SmallSwav and train_run of the script.
TrainConfig Config() {
  TrainConfig config;
  config.trunk.regnet = {2, 8, 8, 2.0, 8, 0.25};
  config.head.hidden = {16};
  config.head.output_dim = 8;
  config.head.prototypes = 6;
  config.crops = {{2, 16}, {2, 8}};
  config.global_batch = 16;
  config.swav.power_law_exponent = 0.5;
  config.swav.queue_length = 32;
  config.swav.queue_start_step = 1;
  config.swav.freeze_prototypes_steps = 2;
  config.optim.momentum = 0.9;
  config.optim.weight_decay = 1e-3;
  config.optim.larc = {true, 0.005, false, 1e-8};
  config.optim.groups = {{"*.bias", 0.5, 0, false}, {"prototypes*", 2, {}, {}}};
  config.optim.start_lr = 0.1;
  config.optim.base_lr = 0.5;
  config.optim.final_lr = 0.01;
  config.optim.warmup_steps = 3;
  config.optim.total_steps = kSteps;
  config.photometry.jitter_probability = config.photometry.grey_probability =
      config.photometry.blur_probability = 0;
  config.distributed.sync_bn_group_size = 2;
  return config;
}

int Hashed(uint32_t n) {
  n = (n ^ (n >> 16)) * 0x85EBCA6Bu;
  n = (n ^ (n >> 13)) * 0xC2B2AE35u;
  return static_cast<int>((n ^ (n >> 16)) & 127u);
}

Batch ImagesOf(const TrainConfig& config, int64_t step, int rank) {
  Batch batch;
  batch.step = step;
  const int samples = static_cast<int>(config.global_batch) / kRanks;
  batch.first_sample = step * config.global_batch + rank * samples;
  int first_view = 0;
  for (const CropGroup& group : config.crops) {
    std::string pixels;
    for (int view = first_view; view < first_view + group.views; ++view) {
      for (int s = 0; s < samples; ++s) {
        const auto sample = static_cast<int>(batch.first_sample) + s;
        for (int pixel = 0; pixel < group.size * group.size * 3; ++pixel) {
          const int c = pixel % 3, x = pixel / 3 % group.size, y = pixel / 3 / group.size;
          const int place = (((sample * 4 + view) * 16 + y) * 16 + x) * 3 + c + 1000000;
          const int value =
              Hashed(static_cast<uint32_t>(sample * 3 + c)) + Hashed(static_cast<uint32_t>(place));
          pixels.push_back(static_cast<char>(static_cast<uint8_t>(value)));
        }
      }
    }
    first_view += group.views;
    batch.crops.push_back({group.views, samples, group.size, std::move(pixels)});
  }
  return batch;
}

// `check` on each rank after `steps` steps from the golden's weights.
void Train(const TrainConfig& config, const Golden& golden, int64_t steps,
           const std::function<void(TrainStep&, const std::vector<StepReport>&, int rank)>& check) {
  testing::OnRanks(kRanks, [&](const RankConfig& rank) {
    const auto gang = JoinGang(
        {rank.rank, kRanks, rank.store_host, rank.store_port, rank.store_listen_fd, "parity", 60});
    ASSERT_OK_AND_ASSIGN(const auto step, TrainStep::Create(config, *gang));
    const std::vector<NamedTensor> parameters = step->network().Parameters();
    ASSERT_EQ(parameters.size(), golden.Under("start/").size());
    for (const NamedTensor& p : parameters) p.tensor.detach().copy_(golden["start/" + p.name]);
    std::vector<StepReport> reports;
    for (int64_t i = 0; i < steps; ++i)
      reports.push_back(step->Run(ImagesOf(config, i, rank.rank)));
    check(*step, reports, rank.rank);
  });
}

TEST(TrainParity, TenStepsWithQueuePowerLawLarcScheduleAndNormGroups) {
  const Golden golden("train");
  Train(Config(), golden, kSteps,
        [&](TrainStep& step, const std::vector<StepReport>& reports, int) {
          for (size_t i = 0; i < reports.size(); ++i) {
            const auto number = [&](const char* name) {
              return golden[name][static_cast<int64_t>(i)].item<double>();
            };
            EXPECT_FALSE(reports[i].skipped);
            EXPECT_NEAR(reports[i].learning_rate, number("lr"), 1e-6) << i;
            EXPECT_NEAR(reports[i].loss, number("loss"), 1e-4 * number("loss")) << i;
            EXPECT_NEAR(reports[i].gradient_norm, number("gradient_norm"),
                        1e-4 * number("gradient_norm"))
                << i;
          }
          for (const NamedTensor& p : step.network().Parameters())
            ExpectNear(p.tensor, golden["end/" + p.name], p.name);
          ASSERT_TRUE(step.queue() != nullptr && step.queue()->full());
          ExpectNear(step.queue()->Share(0, 1), golden["queue"], "queue");
        });
}

TEST(TrainParity, RunningStatisticsAreThoseOfTheFirstNormGroup) {
  const Golden golden("train");
  Train(Config(), golden, kSteps, [&](TrainStep& step, const std::vector<StepReport>&, int rank) {
    const std::vector<NamedTensor> buffers = step.network().Buffers();
    ASSERT_EQ(buffers.size(), golden.Under("buffer/").size());
    for (const NamedTensor& b : buffers) {
      const at::Tensor expected = golden["buffer/" + b.name];
      if (rank < 2) {
        ExpectNear(b.tensor, expected, b.name);
      } else {
        EXPECT_FALSE(at::allclose(b.tensor, expected, 1e-4)) << b.name;
      }
    }
  });
}

TEST(TrainParity, GradientsOfAStepWithTheQueue) {
  const Golden golden("train");
  TrainConfig config = Config();
  config.optim.groups = {{"*", 0, {}, {}}};  // gradients stay as the reduction left them
  Train(config, golden, 4, [&](TrainStep& step, const std::vector<StepReport>&, int) {
    for (const NamedTensor& p : step.network().Parameters()) {
      const at::Tensor& gradient = p.tensor.grad();
      if (p.name == "projection_head.0.bias") {  // the norm after it takes its mean out
        EXPECT_LT(gradient.abs().max().item<double>(), 1e-5);
      } else {
        ExpectNear(gradient, golden["grad/" + p.name], p.name);
      }
    }
  });
}

TEST(TrainParity, TheLossScaleMovesAsTorchsGradScaler) {
  const Golden golden("scaler");
  std::vector<NamedTensor> tensors;
  for (const std::string& name : golden.Under("start/"))
    tensors.push_back({name, golden["start/" + name].requires_grad_()});
  ASSERT_EQ(tensors.size(), 2u);
  OptimConfig config;
  config.weight_decay = 0;
  config.larc.enabled = false;
  const std::vector<OptimParameter> parameters = testing::WithRules(tensors, config);
  const auto optimizer = MakeOptimizer(parameters, config);
  LossScale scale({1024, 3});
  const at::Tensor scales = golden["scales"];
  int refused = 0;
  for (int64_t step = 0; step + 1 < scales.numel(); ++step) {
    EXPECT_EQ(scale.value(), scales[step].item<double>()) << step;
    for (const OptimParameter& p : parameters) {
      at::Tensor(p.tensor).mutable_grad() =
          golden[absl::StrCat("grad", step, "/", p.name)] * scale.value();
    }
    scale.Unscale(parameters);
    const bool finite = std::isfinite(GradientNorm(parameters));
    if (finite) optimizer->Step(FixedRates(config, 0.1));
    refused += finite ? 0 : 1;
    scale.Update(finite);
    for (const OptimParameter& p : parameters) {
      ExpectNear(p.tensor, golden[absl::StrCat("after", step, "/", p.name)],
                 absl::StrCat("step ", step, " ", p.name));
    }
  }
  EXPECT_EQ(scale.value(), scales[-1].item<double>());
  EXPECT_EQ(refused, 3);
}

}  // namespace
}  // namespace seer::engine
