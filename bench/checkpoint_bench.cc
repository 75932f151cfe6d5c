// Claims: a checkpoint a minute holds training up by less than 5 % of its time; a checkpoint is
// restored at 0.7 of the rate at which the disk reads its files one after the other. One rank.
// Prints one JSON object.
//
//   checkpoint_bench FOLDER [preset=regnety_32gf] [batch=2] [crops=2x64] [threads=2] [rounds=5]
//                    [steps=8]
//
// FOLDER: on the disk that is measured; a folder below it is written and removed. crops: views x
// pixels. Before each read and each restore the kernel is asked to forget the file
// (POSIX_FADV_DONTNEED); what the disk itself, or the host of a virtual one, remembers it cannot
// tell. Restores and reads alternate; all rounds are printed, and the best of each make the ratio.
// snapshot_seconds: of each checkpoint while training waits; snapshot_ratio: the median over 60 s.
// slower_steps_seconds: of each checkpoint, what the steps during its writing took more than the
// median of steps without one; holdup_ratio: the medians of both together over 60 s.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "bench/random_batch.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/thread.h"
#include "common/objectstore/local_store.h"
#include "engine/arch/trunk_design.h"
#include "engine/session/host_allocator.h"
#include "engine/session/train_session.h"

namespace {

namespace fs = std::filesystem;
using seer::engine::TrainSession;

struct Options {
  std::string folder;
  std::string preset = "regnety_32gf";
  int batch = 2, views = 2, pixels = 64, threads = 2, rounds = 5, steps = 8;
};

bool Parse(int argc, char** argv, Options& options) {
  if (argc < 2) return false;
  options.folder = argv[1];
  const std::pair<const char*, int*> numbers[] = {{"batch=", &options.batch},
                                                  {"threads=", &options.threads},
                                                  {"rounds=", &options.rounds},
                                                  {"steps=", &options.steps}};
  for (int i = 2; i < argc; ++i) {
    absl::string_view argument = argv[i];
    if (absl::ConsumePrefix(&argument, "preset=")) {
      options.preset = std::string(argument);
      continue;
    }
    if (absl::ConsumePrefix(&argument, "crops=")) {
      const std::pair<absl::string_view, absl::string_view> sides = absl::StrSplit(argument, 'x');
      if (!absl::SimpleAtoi(sides.first, &options.views) || options.views < 2 ||
          !absl::SimpleAtoi(sides.second, &options.pixels) || options.pixels < 8)
        return false;
      continue;
    }
    bool known = false;
    for (const auto& [name, number] : numbers) {
      if (!absl::ConsumePrefix(&argument, name)) continue;
      known = absl::SimpleAtoi(argument, number) && *number >= 1;
    }
    if (!known) return false;
  }
  return true;
}

double Now() { return absl::ToDoubleSeconds(seer::Clock::Real().Steady()); }

double Least(const std::vector<double>& values) {
  return *std::min_element(values.begin(), values.end());
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

std::string List(const std::vector<double>& values) {
  return absl::StrCat(
      "[",
      absl::StrJoin(values, ", ",
                    [](std::string* out, double v) { absl::StrAppendFormat(out, "%.4f", v); }),
      "]");
}

std::vector<fs::path> Files(const fs::path& folder) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder))
    if (entry.is_regular_file()) files.push_back(entry.path());
  return files;
}

// The kernel's copy of the files is dropped; they are on the disk already.
void Forget(const fs::path& folder) {
  for (const fs::path& file : Files(folder)) {
    const int fd = open(file.c_str(), O_RDONLY);
    SEER_CHECK(fd >= 0 && posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) == 0) << file.string();
    close(fd);
  }
}

// Seconds to read all files, one after the other, with one buffer.
double ReadSeconds(const fs::path& folder) {
  std::vector<char> buffer(size_t{8} << 20);
  const double start = Now();
  for (const fs::path& file : Files(folder)) {
    const int fd = open(file.c_str(), O_RDONLY);
    while (read(fd, buffer.data(), buffer.size()) > 0) {
    }
    close(fd);
  }
  return Now() - start;
}

double StepSeconds(TrainSession& session, const seer::engine::TrainConfig& config) {
  seer::engine::Batch batch = seer::bench::RandomBatch(config, {});
  batch.step = session.next_step();
  const double start = Now();
  SEER_CHECK(session.Step(batch).ok());
  return Now() - start;
}

struct Holdup {
  std::vector<double> plain, snapshots, slower, writes;
};

Holdup Train(TrainSession& session, const seer::engine::TrainConfig& config, const Options& options,
             seer::ObjectStore& store) {
  Holdup holdup;
  StepSeconds(session, config);  // warms up
  for (int round = 0; round < options.rounds; ++round) {
    std::vector<double> plain;
    for (int i = 0; i < options.steps; ++i) plain.push_back(StepSeconds(session, config));
    holdup.plain.insert(holdup.plain.end(), plain.begin(), plain.end());
    const double start = Now();
    const auto snapshot = session.Snapshot();
    SEER_CHECK(snapshot.ok()) << snapshot.status().ToString();
    holdup.snapshots.push_back(Now() - start);
    std::atomic<bool> written = false;
    double write_seconds = 0;
    seer::Thread writer("checkpoint", [&] {
      const double begin = Now();
      SEER_CHECK((*snapshot)->Write(store, "holdup").ok());
      write_seconds = Now() - begin;
      written = true;
    });
    double slower = 0;
    while (!written) slower += StepSeconds(session, config) - Median(plain);
    writer.Join();
    holdup.slower.push_back(slower);
    holdup.writes.push_back(write_seconds);
  }
  return holdup;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  if (!Parse(argc, argv, options) || !seer::engine::TrunkPreset(options.preset).ok()) {
    std::fprintf(stderr, "usage: see the top of bench/checkpoint_bench.cc\n");
    return 2;
  }
  seer::engine::KeepFreedMemory();
  seer::engine::TrainConfig config;
  config.trunk = *seer::engine::TrunkPreset(options.preset);
  config.crops = {{options.views, options.pixels}};
  config.global_batch = options.batch;
  seer::engine::RankConfig rank;
  rank.threads = options.threads;
  const fs::path folder = fs::path(options.folder) / absl::StrCat("checkpoint-bench-", getpid());
  const auto store = seer::OpenLocalStore(folder.string());
  SEER_CHECK(store.ok()) << store.status().ToString();
  const auto session = TrainSession::Create(config, rank);
  SEER_CHECK(session.ok()) << session.status().ToString();
  int64_t bytes = 0;
  {
    const auto snapshot = (*session)->Snapshot();
    SEER_CHECK(snapshot.ok()) << snapshot.status().ToString();
    const auto file = (*snapshot)->Write(**store, "restore");
    SEER_CHECK(file.ok()) << file.status().ToString();
    bytes = file->size_bytes;
  }
  std::vector<double> reads, restores, cached;
  for (int round = 0; round < options.rounds; ++round) {
    Forget(folder);
    reads.push_back(ReadSeconds(folder));
    Forget(folder);
    for (std::vector<double>* into : {&restores, &cached}) {
      const double start = Now();
      const absl::Status status = (*session)->Restore(**store, "restore");
      SEER_CHECK(status.ok()) << status.ToString();
      into->push_back(Now() - start);
    }
  }
  const Holdup holdup = Train(**session, config, options, **store);
  fs::remove_all(folder);
  const double step = Median(holdup.plain);
  const double held = Median(holdup.snapshots), slower = std::max(0.0, Median(holdup.slower));
  std::printf(
      "{\"preset\": \"%s\", \"checkpoint_bytes\": %lld, \"threads\": %d,\n"
      " \"read_seconds\": %s, \"restore_seconds\": %s, \"restore_cached_seconds\": %s,\n"
      " \"restore_over_read_rate\": %.3f, \"restore_gb_per_second\": %.3f,\n"
      " \"step_seconds\": %.4f, \"snapshot_seconds\": %s,\n"
      " \"slower_steps_seconds\": %s, \"write_seconds\": %s,\n"
      " \"snapshot_over_step\": %.4f, \"snapshot_ratio\": %.5f, \"holdup_ratio\": %.5f}\n",
      options.preset.c_str(), static_cast<long long>(bytes), options.threads, List(reads).c_str(),
      List(restores).c_str(), List(cached).c_str(), Least(reads) / Least(restores),
      static_cast<double>(bytes) / Least(restores) / 1e9, step, List(holdup.snapshots).c_str(),
      List(holdup.slower).c_str(), List(holdup.writes).c_str(), held / step, held / 60,
      (held + slower) / 60);
  return 0;
}
