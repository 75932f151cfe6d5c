// Claim: a training step of the engine is not slower than the same step in PyTorch eager mode. One
// rank, one thread, RegNetY-200MF, 64 images a step, views 2 x 32 and 2 x 32 pixels, SwAV head and
// 3000 prototypes, LARC; photometry is switched off but for normalisation, as the reference does it
// elsewhere. Prints one JSON object. The other side and the ratio:
// bench/step_reference.py, which runs this program.
//
//   step_bench [fp32|bf16] [measured steps] [recompute]
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "common/base/clock.h"
#include "common/base/philox.h"
#include "engine/session/train_session.h"

namespace {

constexpr int kWarmUpSteps = 3;

seer::engine::Batch RandomBatch(const seer::engine::TrainConfig& config) {
  seer::engine::Batch batch;
  seer::Philox random(1, seer::RandomPurpose::kTest, 0);
  for (const seer::engine::CropGroup& group : config.crops) {
    const auto samples = static_cast<int>(config.global_batch);
    std::string pixels(static_cast<size_t>(3) * group.views * samples * group.size * group.size,
                       '\0');
    for (char& pixel : pixels) pixel = static_cast<char>(random.Next32() & 255);
    batch.crops.push_back({group.views, samples, group.size, std::move(pixels)});
  }
  return batch;
}

int Run(seer::engine::Precision precision, int steps, bool recompute) {
  seer::engine::TrainConfig config;
  config.trunk.regnet = *seer::engine::RegnetPreset("regnety_200mf");
  config.crops = {{2, 32}, {2, 32}};
  config.global_batch = 64;
  config.photometry.jitter_probability = config.photometry.grey_probability =
      config.photometry.blur_probability = 0;
  config.optim.total_steps = 1000;
  config.precision = precision;
  if (recompute) config.memory.recompute = seer::engine::MemoryConfig::Recompute::kAll;
  const auto session = seer::engine::TrainSession::Create(config, {});
  if (!session.ok()) {
    std::fprintf(stderr, "%s\n", session.status().ToString().c_str());
    return 1;
  }
  seer::engine::Batch batch = RandomBatch(config);
  seer::engine::PhaseSeconds sum;
  double flops = 0, loss = 0;
  absl::Duration start;
  for (int i = 0; i < kWarmUpSteps + steps; ++i) {
    if (i == kWarmUpSteps) start = seer::Clock::Real().Steady();
    batch.step = i;
    const auto report = (*session)->Step(batch);
    if (!report.ok()) {
      std::fprintf(stderr, "%s\n", report.status().ToString().c_str());
      return 1;
    }
    if (i < kWarmUpSteps) continue;
    sum.augment += report->phases.augment;
    sum.forward += report->phases.forward;
    sum.loss += report->phases.loss;
    sum.backward += report->phases.backward;
    sum.optimizer += report->phases.optimizer;
    flops = report->flops;
    loss = report->loss;
  }
  const double mean = absl::ToDoubleSeconds(seer::Clock::Real().Steady() - start) / steps;
  std::printf(
      "{\"step_seconds\": %.6f, \"augment\": %.6f, \"forward\": %.6f, \"loss\": %.6f, "
      "\"backward\": %.6f, "
      "\"optimizer\": %.6f, \"gflops_per_second\": %.2f, \"last_loss\": %.5f}\n",
      mean, sum.augment / steps, sum.forward / steps, sum.loss / steps, sum.backward / steps,
      sum.optimizer / steps, flops / mean / 1e9, loss);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string precision = argc > 1 ? argv[1] : "fp32";
  const int steps = argc > 2 ? std::atoi(argv[2]) : 20;
  const bool recompute = argc > 3 && std::string(argv[3]) == "recompute";
  if ((precision != "fp32" && precision != "bf16") || steps < 1) {
    std::fprintf(stderr, "usage: %s [fp32|bf16] [measured steps, at least 1] [recompute]\n",
                 argv[0]);
    return 2;
  }
  return Run(precision == "bf16" ? seer::engine::Precision::kBf16 : seer::engine::Precision::kFp32,
             steps, recompute);
}
