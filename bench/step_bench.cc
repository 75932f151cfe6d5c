// Claims: a training step of the engine is faster than the same step in PyTorch, eager or compiled;
// and a second rank costs little. SwAV head, LARC; photometry is switched off but for
// normalisation, as the reference does it elsewhere. Prints one JSON object, of rank 0. The other
// sides and the ratios: bench/step_reference.py and bench/gang_step.py, which run this program.
//
//   step_bench [fp32|bf16] [measured steps] [recompute] [preset=regnety_200mf] [batch=64]
//              [crops=2x32,2x32] [prototypes=3000] [threads=1] [ranks=1] [norm_group=0]
//              [bucket_mib=25] [device=cpu|cuda] [kernels=1]
//
// batch: images a rank and step; crops: views x pixels, one group a resolution; threads: of a rank;
// norm_group: ranks that share batch statistics, 0: all; device: cuda gives each rank the GPU of
// its number. peak_rss_mib is that of the whole process, planned_mib what the memory plan counts:
// compare their growth from a batch of one image to a larger one.
// gradient_seconds: of gradients' all-reduces, a step, by the trace of three more steps;
// overlap_ratio: the share of it during which a segment ran backward.
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "bench/kernel_profile.h"
#include "bench/random_batch.h"
#include "common/base/clock.h"
#include "engine/arch/memory_plan.h"
#include "engine/arch/network_cost.h"
#include "engine/session/host_allocator.h"
#include "engine/session/train_session.h"
#include "engine/trace/trace_recorder.h"

namespace {

constexpr int kWarmUpSteps = 3;
constexpr int kTracedSteps = 3;

struct Options {
  seer::engine::Precision precision = seer::engine::Precision::kFp32;
  int steps = 20;
  bool recompute = false;
  std::string preset = "regnety_200mf";
  int batch = 64;
  std::vector<seer::engine::CropGroup> crops = {{2, 32}, {2, 32}};
  int prototypes = 3000;
  int threads = 1;
  int ranks = 1;
  std::string device = "cpu";
  int norm_group = 0;
  int bucket_mib = 25;
  int kernels = 0;
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
  if (absl::ConsumePrefix(&argument, "device=")) {
    options.device = std::string(argument);
    return argument == "cpu" || argument == "cuda";
  }
  if (absl::ConsumePrefix(&argument, "ranks=")) return count(argument, options.ranks);
  if (absl::ConsumePrefix(&argument, "bucket_mib=")) return count(argument, options.bucket_mib);
  if (absl::ConsumePrefix(&argument, "kernels=")) return count(argument, options.kernels);
  if (absl::ConsumePrefix(&argument, "norm_group="))
    return absl::SimpleAtoi(argument, &options.norm_group) && options.norm_group >= 0;
  if (position == 1) {
    if (argument == "bf16") options.precision = seer::engine::Precision::kBf16;
    return argument == "fp32" || argument == "bf16";
  }
  if (position == 2) return count(argument, options.steps);
  options.recompute = argument == "recompute";
  return options.recompute;
}

double PlannedMib(const seer::engine::TrainConfig& config, int ranks) {
  seer::engine::NetworkShape shape;
  shape.trunk = config.trunk;
  shape.hidden = config.head.hidden;
  shape.output_dim = config.head.output_dim;
  shape.head_batch_norm = config.head.batch_norm;
  shape.prototypes = {config.head.prototypes};
  for (const seer::engine::CropGroup& group : config.crops)
    shape.crops.push_back({group.views, group.size});
  const seer::engine::NetworkCost cost = *seer::engine::CountNetwork(shape);
  seer::engine::StepShape step;
  step.images = config.global_batch / ranks;
  step.bytes_per_activation = config.precision == seer::engine::Precision::kBf16 ? 2 : 4;
  const bool all = config.memory.recompute == seer::engine::MemoryConfig::Recompute::kAll;
  const std::vector<bool> recompute(cost.resolutions.front().trunk.segments.size(), all);
  return static_cast<double>(CountMemory(cost, step, recompute).peak_bytes()) / (1 << 20);
}

double PeakRssMib() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024;
}

// Seconds that both spans ran.
double Shared(const seer::engine::TraceSpan& a, const seer::engine::TraceSpan& b) {
  const absl::Duration shared =
      std::min(a.start + a.duration, b.start + b.duration) - std::max(a.start, b.start);
  return std::max(0.0, absl::ToDoubleSeconds(shared));
}

// Of all traced steps: the world's collectives that began while a segment ran backward, and what of
// them lay over such a segment.
struct Overlap {
  double seconds = 0, overlapped = 0;
};
Overlap OverlapOf(const seer::engine::Trace& trace) {
  std::vector<seer::engine::TraceSpan> backward;
  for (const seer::engine::TraceSpan& span : trace.spans)
    if (span.category == "backward") backward.push_back(span);
  Overlap overlap;
  for (const seer::engine::TraceSpan& span : trace.spans) {
    if (span.track != seer::engine::TraceTrack::kCommunication || span.group != "world") continue;
    double shared = 0;
    for (const seer::engine::TraceSpan& segment : backward)
      if (segment.step == span.step) shared += Shared(span, segment);
    if (shared == 0) continue;
    overlap.seconds += absl::ToDoubleSeconds(span.duration);
    overlap.overlapped += shared;
  }
  return overlap;
}

// Forks the other ranks of the gang, before anything of torch has begun. Returns this process's.
seer::engine::RankConfig Fork(const Options& options) {
  seer::engine::RankConfig rank;
  rank.threads = options.threads;
  rank.world_size = options.ranks;
  if (options.ranks == 1) return rank;
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof(address);
  if (fd < 0 || bind(fd, reinterpret_cast<sockaddr*>(&address), length) != 0 ||
      listen(fd, 64) != 0 || getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length) != 0) {
    std::perror("no port for the gang");
    std::exit(1);
  }
  rank.store_port = ntohs(address.sin_port);
  rank.store_listen_fd = fd;
  for (int r = 1; r < options.ranks && rank.rank == 0; ++r) {
    if (fork() == 0) rank.rank = r;
  }
  if (rank.rank > 0) {
    close(fd);
    rank.store_listen_fd = -1;
  }
  return rank;
}

int Run(const Options& options) {
  const int steps = options.steps;
  seer::engine::TrainConfig config;
  config.trunk = *seer::engine::TrunkPreset(options.preset);
  config.crops = options.crops;
  config.global_batch = options.batch * options.ranks;
  config.head.prototypes = options.prototypes;
  config.photometry.jitter_probability = config.photometry.grey_probability =
      config.photometry.blur_probability = 0;
  config.optim.total_steps = 1000;
  config.precision = options.precision;
  if (options.recompute) config.memory.recompute = seer::engine::MemoryConfig::Recompute::kAll;
  config.distributed.sync_bn_group_size = options.norm_group;
  config.distributed.bucket_bytes = int64_t{options.bucket_mib} << 20;
  seer::engine::RankConfig rank = Fork(options);
  if (options.device != "cpu") rank.device = absl::StrCat(options.device, ":", rank.rank);
  const auto session = seer::engine::TrainSession::Create(config, rank);
  if (!session.ok()) {
    std::fprintf(stderr, "%s\n", session.status().ToString().c_str());
    return 1;
  }
  seer::engine::Batch batch = seer::bench::RandomBatch(config, rank);
  seer::engine::PhaseSeconds sum;
  double flops = 0, loss = 0;
  int64_t device_peak = 0;
  absl::Duration start;
  double mean = 0;
  for (int i = 0; i < kWarmUpSteps + steps + kTracedSteps; ++i) {
    const absl::Duration now = seer::Clock::Real().Steady();
    if (i == kWarmUpSteps) start = now;
    if (i == kWarmUpSteps + steps) {
      mean = absl::ToDoubleSeconds(now - start) / steps;
      (*session)->trace().Start(i);
      if (options.kernels > 0) seer::bench::StartKernelProfile();
    }
    batch.step = i;
    const auto report = (*session)->Step(batch);
    if (!report.ok()) {
      std::fprintf(stderr, "%s\n", report.status().ToString().c_str());
      return 1;
    }
    if (i < kWarmUpSteps || i >= kWarmUpSteps + steps) continue;
    sum.augment += report->phases.augment;
    sum.forward += report->phases.forward;
    sum.loss += report->phases.loss;
    sum.backward += report->phases.backward;
    sum.communication += report->phases.communication;
    sum.optimizer += report->phases.optimizer;
    flops = report->flops;
    loss = report->loss;
    device_peak = report->device_peak_bytes;
  }
  if (options.kernels > 0 && rank.rank == 0) seer::bench::PrintKernelProfile(stderr, kTracedSteps);
  if (rank.rank > 0) return 0;
  const Overlap overlap = OverlapOf((*session)->trace().Stop());
  std::printf(
      "{\"step_seconds\": %.6f, \"augment\": %.6f, \"forward\": %.6f, \"loss\": %.6f, "
      "\"backward\": %.6f, \"communication\": %.6f, \"optimizer\": %.6f, "
      "\"gflops_per_second\": %.2f, \"last_loss\": %.5f, \"peak_rss_mib\": %.1f, "
      "\"planned_mib\": %.1f, \"peak_device_mib\": %.1f, \"gradient_seconds\": %.6f, "
      "\"overlap_ratio\": %.4f}\n",
      mean, sum.augment / steps, sum.forward / steps, sum.loss / steps, sum.backward / steps,
      sum.communication / steps, sum.optimizer / steps, flops / mean / 1e9, loss, PeakRssMib(),
      PlannedMib(config, options.ranks), static_cast<double>(device_peak) / (1 << 20),
      overlap.seconds / kTracedSteps,
      overlap.seconds > 0 ? overlap.overlapped / overlap.seconds : 0.0);
  int failed = 0;
  for (int r = 1, status = 0; r < options.ranks; ++r) failed += wait(&status) < 0 || status != 0;
  return failed > 0 ? 1 : 0;
}

}  // namespace

int main(int argc, char** argv) {
  seer::engine::KeepFreedMemory();  // as the trainer does
  Options options;
  for (int i = 1; i < argc; ++i) {
    if (ParseArgument(argv[i], i, options)) continue;
    std::fprintf(
        stderr,
        "%s is not understood\nusage: %s [fp32|bf16] [measured steps] [recompute] "
        "[preset=regnety_200mf] [batch=64] [crops=2x32,2x32] [prototypes=3000] "
        "[threads=1] [ranks=1] [norm_group=0] [bucket_mib=25] [device=cpu|cuda] [kernels=1]\n",
        argv[i], argv[0]);
    return 2;
  }
  return Run(options);
}
