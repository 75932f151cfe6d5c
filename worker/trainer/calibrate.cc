#include "worker/trainer/calibrate.h"

#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/base/error.h"
#include "common/base/process.h"
#include "common/base/status_macros.h"
#include "engine/arch/trunk_design.h"
#include "engine/session/link_speed.h"
#include "engine/session/train_session.h"

namespace seer::worker {
namespace {

using engine::Precision;
using nlohmann::json;

constexpr int kPrototypes = 300;
constexpr int kDeviceBatchScale = 16;  // a GPU needs more images to be busy

const char* PrecisionName(Precision precision) {
  switch (precision) {
    case Precision::kBf16:
      return "bf16";
    case Precision::kFp16:
      return "fp16";
    case Precision::kTf32:
      return "tf32";
    case Precision::kFp32:
      break;
  }
  return "fp32";
}

engine::Batch AnyBatch(const engine::TrainConfig& config) {
  engine::Batch batch;
  const auto samples = static_cast<int>(config.global_batch);
  for (const engine::CropGroup& group : config.crops) {
    std::string pixels(static_cast<size_t>(3) * group.views * samples * group.size * group.size,
                       '\0');
    uint32_t state = 1;
    for (char& pixel : pixels) {
      state = state * 1664525 + 1013904223;  // Numerical Recipes' generator: any pixels will do
      pixel = static_cast<char>(state >> 24);
    }
    batch.crops.push_back({group.views, samples, group.size, std::move(pixels)});
  }
  batch.image_ids.resize(static_cast<size_t>(samples));
  batch.labels.assign(static_cast<size_t>(samples), -1);
  return batch;
}

absl::StatusOr<json> MeasureCase(const CalibrationCase& c, const CalibrateOptions& options) {
  engine::TrainConfig config;
  SEER_ASSIGN_OR_RETURN(config.trunk, engine::TrunkPreset(c.preset));
  config.head.prototypes = kPrototypes;
  config.crops = c.crops;
  config.global_batch = c.images;
  config.precision = c.precision;
  config.optim.total_steps = 1000;
  if (c.recompute) config.memory.recompute = engine::MemoryConfig::Recompute::kAll;
  engine::RankConfig rank;
  rank.threads = options.threads;
  rank.device = options.device;
  SEER_ASSIGN_OR_RETURN(const auto session, engine::TrainSession::Create(config, rank));
  engine::Batch batch = AnyBatch(config);
  const int warm_up = options.quick ? 1 : 2, measured = options.quick ? 2 : 5;
  engine::PhaseSeconds best;
  double least = 0;
  for (int step = 0; step < warm_up + measured; ++step) {
    batch.step = step;
    SEER_ASSIGN_OR_RETURN(const engine::StepReport report, session->Step(batch));
    const engine::PhaseSeconds& p = report.phases;
    const double seconds = p.augment + p.forward + p.loss + p.backward + p.optimizer;
    if (step < warm_up || (step > warm_up && seconds >= least)) continue;
    least = seconds;
    best = p;
  }
  json crops = json::array();
  for (const engine::CropGroup& group : c.crops) crops.push_back({group.views, group.size});
  return json{{"preset", c.preset},
              {"crops", crops},
              {"images", c.images},
              {"prototypes", kPrototypes},
              {"precision", PrecisionName(c.precision)},
              {"recompute", c.recompute},
              {"held_out", c.held_out},
              {"network_seconds", best.forward + best.loss + best.backward},
              {"augment_seconds", best.augment},
              {"optimizer_seconds", best.optimizer}};
}

absl::Status NoGang(const std::string& what) {
  return Error(absl::StatusCode::kUnavailable, reason::kCollectiveFailed,
               absl::StrCat("measuring the all-reduce: ", what));
}

// Two processes, as two ranks are; this one is rank 0.
absl::StatusOr<json> MeasureLink(int repetitions) {
  const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof(address);
  if (listener < 0 || ::bind(listener, reinterpret_cast<sockaddr*>(&address), length) != 0 ||
      ::listen(listener, 8) != 0 ||
      ::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &length) != 0)
    return NoGang("no port on the loopback");
  engine::RankConfig rank;
  rank.world_size = 2;
  rank.store_port = ntohs(address.sin_port);
  rank.store_prefix = "calibrate";
  const pid_t peer = ::fork();
  if (peer < 0) return NoGang("fork failed");
  if (peer == 0) {
    ::close(listener);
    rank.rank = 1;
    ::_exit(engine::MeasureAllReduce(rank, repetitions).ok() ? 0 : 1);
  }
  rank.store_listen_fd = listener;  // taken over
  const auto samples = engine::MeasureAllReduce(rank, repetitions);
  if (!samples.ok()) ::kill(peer, SIGKILL);
  int status = 0;
  ::waitpid(peer, &status, 0);
  SEER_RETURN_IF_ERROR(samples.status());
  if (status != 0) return NoGang("the second process failed");
  json list = json::array();
  for (const engine::LinkSample& sample : *samples)
    list.push_back({{"bytes", sample.bytes}, {"seconds", sample.seconds}});
  return list;
}

std::string CpuName() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (!absl::StartsWith(line, "model name")) continue;
    absl::string_view name = line;
    name.remove_prefix(std::min(name.size(), name.find(':') + 1));
    return std::string(absl::StripAsciiWhitespace(name));
  }
  return "unknown";
}

}  // namespace

std::vector<CalibrationCase> CalibrationCases(const CalibrateOptions& options) {
  std::vector<CalibrationCase> cases;
  const auto add = [&](const char* preset, std::vector<engine::CropGroup> crops, int images) {
    CalibrationCase& c = cases.emplace_back();
    c.preset = preset;
    c.crops = std::move(crops);
    c.images = images;
    return cases.size() - 1;
  };
  if (options.quick) {
    add("regnety_200mf", {{2, 32}}, 4);
    add("regnety_200mf", {{2, 32}}, 2);
    add("regnetx_200mf", {{2, 48}}, 2);
    add("regnety_400mf", {{2, 32}}, 2);
    cases[add("regnety_200mf", {{2, 48}}, 2)].held_out = true;
  } else {
    add("regnety_200mf", {{2, 32}}, 4);
    add("regnety_200mf", {{2, 32}}, 32);
    add("regnety_200mf", {{2, 96}}, 8);
    add("regnetx_400mf", {{2, 64}}, 16);
    add("regnety_400mf", {{2, 160}, {4, 96}}, 4);
    add("regnety_800mf", {{2, 64}}, 8);
    add("regnety_1.6gf", {{2, 96}}, 4);
    add("resnet50", {{2, 64}}, 4);
    add("resnext50_32x4d", {{2, 64}}, 4);
    cases[add("regnety_400mf", {{2, 96}, {2, 48}}, 8)].held_out = true;
    cases[add("regnety_600mf", {{2, 80}}, 8)].held_out = true;
    cases[add("regnetx_800mf", {{2, 64}, {2, 32}}, 8)].held_out = true;
    cases[add("resnet50", {{2, 96}}, 2)].held_out = true;
    const size_t recomputed = add("regnety_400mf", {{2, 96}}, 8);
    cases[recomputed].held_out = cases[recomputed].recompute = true;
  }
  const bool host = options.device == "cpu";
  if (!host && !options.quick) {
    for (CalibrationCase& c : cases) c.images *= kDeviceBatchScale;
  }
  std::vector<Precision> precisions = {Precision::kFp32, Precision::kBf16};
  if (!host) precisions.insert(precisions.end(), {Precision::kTf32, Precision::kFp16});
  std::vector<CalibrationCase> all;
  for (const Precision precision : precisions) {
    for (CalibrationCase c : cases) {
      c.precision = precision;
      all.push_back(std::move(c));
    }
  }
  return all;
}

absl::StatusOr<std::string> Calibrate(const CalibrateOptions& options) {
  json measured = {{"host", HostName()},
                   {"cpu", CpuName()},
                   {"device", options.device},
                   {"threads", options.threads},
                   {"steps", json::array()}};
  std::fprintf(stderr, "all-reduce between two processes\n");
  SEER_ASSIGN_OR_RETURN(measured["all_reduce"], MeasureLink(options.quick ? 3 : 20));
  const std::vector<CalibrationCase> cases = CalibrationCases(options);
  for (size_t i = 0; i < cases.size(); ++i) {
    const CalibrationCase& c = cases[i];
    std::fprintf(stderr, "step %zu of %zu: %s, %d images, %s\n", i + 1, cases.size(),
                 c.preset.c_str(), c.images, PrecisionName(c.precision));
    SEER_ASSIGN_OR_RETURN(json step, MeasureCase(c, options));
    measured["steps"].push_back(std::move(step));
  }
  return measured.dump();
}

}  // namespace seer::worker
