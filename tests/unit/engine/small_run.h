// A training job small enough for tests: configuration, batches that are a function of the global
// sample index, and gangs of which every rank is a thread with a session of its own (collectives go
// through Gloo on the loopback).
#pragma once

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "common/base/check.h"
#include "common/base/philox.h"
#include "common/objectstore/memory_store.h"
#include "engine/optim/param_groups.h"
#include "engine/session/train_session.h"
#include "tests/support/status_matchers.h"

namespace seer::engine::testing {

// c10d keeps one flight recorder a process and writes to its map without a lock: ranks that are
// threads of one process race there and crash now and then. A trainer is one rank and one thread.
inline const bool kFlightRecorderOff = setenv("TORCH_FR_BUFFER_SIZE", "0", /*overwrite=*/1) == 0;

inline TrainConfig SmallConfig() {
  TrainConfig config;
  config.trunk.regnet = {4, 16, 16, 2.0, 8, 0.25};  // widths 16, 32, 64, 64
  config.head = {{48}, 24, true, 20};
  config.crops = {{2, 32}, {2, 16}};
  config.global_batch = 16;
  config.optim.base_lr = 0.1;
  config.optim.start_lr = 0.02;
  config.optim.final_lr = 0.001;
  config.optim.warmup_steps = 4;
  config.optim.total_steps = 40;
  config.distributed.bucket_bytes = 32 << 10;  // several buckets
  config.distributed.collective_timeout_seconds = 60;
  config.seed = 17;
  return config;
}

// As a training step gives them to the optimiser.
inline std::vector<OptimParameter> WithRules(const std::vector<NamedTensor>& parameters,
                                             const OptimConfig& config = {}) {
  auto ruled = ApplyGroups(parameters, config);
  SEER_CHECK(ruled.ok()) << ruled.status().ToString();
  return *std::move(ruled);
}

// Images differ by sample in colour and gradient,
// and views of a sample look alike, so that there is something to learn.
inline Batch SmallBatch(const TrainConfig& config, int64_t step, int rank, int world_size) {
  Batch batch;
  batch.step = step;
  const int samples = static_cast<int>(config.global_batch / world_size);
  batch.first_sample = step * config.global_batch + rank * samples;
  uint32_t view_index = 0;
  for (const CropGroup& group : config.crops) {
    std::string pixels(static_cast<size_t>(3) * group.views * samples * group.size * group.size,
                       '\0');
    size_t at = 0;
    for (int view = 0; view < group.views; ++view, ++view_index) {
      for (int s = 0; s < samples; ++s) {
        const auto sample = static_cast<uint64_t>(batch.first_sample + s) % 64;
        Philox content(1, RandomPurpose::kTest, sample),
            noise(2, RandomPurpose::kTest, sample, view_index);
        double base[3], slope[3];
        for (int c = 0; c < 3; ++c)
          base[c] = content.Uniform(40, 200), slope[c] = content.Uniform(-60, 60);
        for (int y = 0; y < group.size; ++y) {
          for (int x = 0; x < group.size; ++x) {
            for (int c = 0; c < 3; ++c) {
              const double value = base[c] + slope[c] * (x + (c + 1) * y) / (2.0 * group.size) +
                                   noise.Uniform(-30, 30);
              pixels[at++] = static_cast<char>(static_cast<uint8_t>(std::clamp(value, 0.0, 255.0)));
            }
          }
        }
      }
    }
    batch.crops.push_back({group.views, samples, group.size, std::move(pixels)});
  }
  batch.image_ids.resize(static_cast<size_t>(samples));
  batch.labels.assign(static_cast<size_t>(samples), -1);
  return batch;
}

// A socket that listens on a free port of the loopback.
inline int ListenOnFreePort(int& port) {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof(address);
  SEER_CHECK(fd >= 0 && bind(fd, reinterpret_cast<sockaddr*>(&address), length) == 0 &&
             listen(fd, 64) == 0 &&
             getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length) == 0)
      << "no free port";
  port = ntohs(address.sin_port);
  return fd;
}

// Runs `body` once a rank, in threads, and joins them.
inline void OnRanks(int world_size, const std::function<void(const RankConfig&)>& body) {
  int port = 0;
  const int fd = world_size > 1 ? ListenOnFreePort(port) : -1;
  std::vector<std::thread> threads;
  for (int rank = 0; rank < world_size; ++rank) {
    RankConfig place;
    place.rank = rank;
    place.world_size = world_size;
    place.store_port = port;
    place.store_listen_fd = rank == 0 ? fd : -1;
    place.store_prefix = "test";
    threads.emplace_back([&body, place] { body(place); });
  }
  for (std::thread& thread : threads) thread.join();
}

struct RunOptions {
  int world_size = 1;
  int64_t until = 5;         // steps
  std::string restore_from;  // prefix in `store`; empty: from random weights
  std::string save_to;       // prefix in `store`; empty: no checkpoint
  ObjectStore* store = nullptr;
};

// Reports of rank 0, from the first step that was run.
inline std::vector<StepReport> RunSmall(const TrainConfig& config, const RunOptions& options) {
  std::vector<StepReport> reports;
  OnRanks(options.world_size, [&](const RankConfig& rank) {
    ASSERT_OK_AND_ASSIGN(const auto session, TrainSession::Create(config, rank));
    if (!options.restore_from.empty())
      ASSERT_OK(session->Restore(*options.store, options.restore_from));
    while (session->next_step() < options.until) {
      ASSERT_OK_AND_ASSIGN(
          const StepReport report,
          session->Step(SmallBatch(config, session->next_step(), rank.rank, rank.world_size)));
      if (rank.rank == 0) reports.push_back(report);
    }
    if (options.save_to.empty()) return;
    ASSERT_OK_AND_ASSIGN(const auto snapshot, session->Snapshot());
    ASSERT_OK(snapshot->Write(*options.store, options.save_to));
  });
  return reports;
}

// The bytes of all files of a checkpoint, one after the other.
inline std::string CheckpointBytes(ObjectStore& store, const std::string& prefix) {
  std::string all;
  const auto objects = store.List(prefix + "/");
  SEER_CHECK(objects.ok()) << objects.status().ToString();
  for (const ObjectInfo& object : *objects) all += *store.Get(object.key);
  return all;
}

// The largest difference of the losses of two runs.
inline double LargestLossGap(const std::vector<StepReport>& a, const std::vector<StepReport>& b) {
  if (a.size() != b.size() || a.empty()) return std::nan("");
  double gap = 0;
  for (size_t i = 0; i < a.size(); ++i) gap = std::max(gap, std::abs(a[i].loss - b[i].loss));
  return gap;
}

}  // namespace seer::engine::testing
