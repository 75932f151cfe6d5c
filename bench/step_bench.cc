// Claim: a training step of the engine is faster than the same step in PyTorch, eager or compiled.
// One rank; SwAV head, LARC; photometry is switched off but for normalisation, as the reference
// does it elsewhere. Prints one JSON object. The other side and the ratio:
// bench/step_reference.py, which runs this program.
//
//   step_bench [fp32|bf16] [measured steps] [recompute] [preset=regnety_200mf] [batch=64]
//              [crops=2x32,2x32] [prototypes=3000] [threads=1]
//
// batch: images a step; crops: views x pixels, one group a resolution; peak_rss_mib is that of the
// whole process.
#include <sys/resource.h>

#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/base/clock.h"
#include "common/base/philox.h"
#include "engine/arch/trunk_design.h"
#include "engine/session/host_allocator.h"
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

struct Options {
  seer::engine::Precision precision = seer::engine::Precision::kFp32;
  int steps = 20;
  bool recompute = false;
  std::string preset = "regnety_200mf";
  int batch = 64;
  std::vector<seer::engine::CropGroup> crops = {{2, 32}, {2, 32}};
  int prototypes = 3000;
  int threads = 1;
};

// False: `text` is no list like 2x160,4x96.
bool ParseCrops(absl::string_view text, std::vector<seer::engine::CropGroup>& crops) {
  crops.clear();
  for (const absl::string_view part : absl::StrSplit(text, ',')) {
    const std::pair<absl::string_view, absl::string_view> sides = absl::StrSplit(part, 'x');
    seer::engine::CropGroup& group = crops.emplace_back();
    if (!absl::SimpleAtoi(sides.first, &group.views) || group.views < 1) return false;
    if (!absl::SimpleAtoi(sides.second, &group.size) || group.size < 1) return false;
  }
  return true;
}

// False: `argument`, number `position` of the command line, is not understood.
bool ParseArgument(absl::string_view argument, int position, Options& options) {
  const auto count = [](absl::string_view text, int& value) {
    return absl::SimpleAtoi(text, &value) && value >= 1;
  };
  if (absl::ConsumePrefix(&argument, "preset=")) {
    options.preset = std::string(argument);
    return seer::engine::TrunkPreset(options.preset).ok();
  }
  if (absl::ConsumePrefix(&argument, "batch=")) return count(argument, options.batch);
  if (absl::ConsumePrefix(&argument, "crops=")) return ParseCrops(argument, options.crops);
  if (absl::ConsumePrefix(&argument, "prototypes=")) return count(argument, options.prototypes);
  if (absl::ConsumePrefix(&argument, "threads=")) return count(argument, options.threads);
  if (position == 1) {
    if (argument == "bf16") options.precision = seer::engine::Precision::kBf16;
    return argument == "fp32" || argument == "bf16";
  }
  if (position == 2) return count(argument, options.steps);
  options.recompute = argument == "recompute";
  return options.recompute;
}

double PeakRssMib() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024;
}

int Run(const Options& options) {
  const int steps = options.steps;
  seer::engine::TrainConfig config;
  config.trunk = *seer::engine::TrunkPreset(options.preset);
  config.crops = options.crops;
  config.global_batch = options.batch;
  config.head.prototypes = options.prototypes;
  config.photometry.jitter_probability = config.photometry.grey_probability =
      config.photometry.blur_probability = 0;
  config.optim.total_steps = 1000;
  config.precision = options.precision;
  if (options.recompute) config.memory.recompute = seer::engine::MemoryConfig::Recompute::kAll;
  seer::engine::RankConfig rank;
  rank.threads = options.threads;
  const auto session = seer::engine::TrainSession::Create(config, rank);
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
      "\"optimizer\": %.6f, \"gflops_per_second\": %.2f, \"last_loss\": %.5f, "
      "\"peak_rss_mib\": %.1f}\n",
      mean, sum.augment / steps, sum.forward / steps, sum.loss / steps, sum.backward / steps,
      sum.optimizer / steps, flops / mean / 1e9, loss, PeakRssMib());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  seer::engine::KeepFreedMemory();  // as the trainer does
  Options options;
  for (int i = 1; i < argc; ++i) {
    if (ParseArgument(argv[i], i, options)) continue;
    std::fprintf(stderr,
                 "%s is not understood\nusage: %s [fp32|bf16] [measured steps] [recompute] "
                 "[preset=regnety_200mf] [batch=64] [crops=2x32,2x32] [prototypes=3000] "
                 "[threads=1]\n",
                 argv[i], argv[0]);
    return 2;
  }
  return Run(options);
}
