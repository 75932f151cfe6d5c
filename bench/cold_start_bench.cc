// Claim: a stream starts, at step 0 or deep inside an epoch, as fast from a billion images as from
// a million, in seconds and in less than 1 GiB, the messages of a stream's window (BatchSequence)
// included. The real path: manifest, index, order, assembler,
// decoder, on the local store; the index files are sparse but for the blocks that the steps read
// (tests/support/sparse_generation). The peer is the same stream from the smallest pool. Each case
// is a process of its own, forked before any thread is started, so that its peak memory is its own.
// Files are in the page cache, as far as the kernel kept them.
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "common/base/clock.h"
#include "common/base/status_macros.h"
#include "common/batches/message.h"
#include "common/metrics/registry.h"
#include "common/objectstore/local_store.h"
#include "dataservice/metrics.h"
#include "dataservice/order/sample_order.h"
#include "dataservice/pool/pool_store.h"
#include "dataservice/serve/assembler.h"
#include "dataservice/serve/batch_sequence.h"
#include "dataservice/serve/generation_cache.h"
#include "tests/support/sparse_generation.h"
#include "tests/support/temp_dir.h"

namespace seer::dataservice {
namespace {

struct Options {
  std::vector<int64_t> images = {1'000'000, 1'000'000'000};
  std::vector<int64_t> steps = {0, 100'000};
  int64_t global_batch = 8704;
  int world_size = 32;
  int shards = 100'000;
  int threads = 2;
};

std::shared_ptr<const StreamPlan> Plan(const Options& options) {
  auto plan = std::make_shared<StreamPlan>();
  plan->pool = "p";
  plan->seed = 7;
  plan->global_batch = options.global_batch;
  plan->world_size = options.world_size;
  for (const auto& [views, size, low, high] :
       {std::tuple(2, 160, 0.14, 1.0), std::tuple(4, 96, 0.05, 0.14)}) {
    v1::CropRecipe& crop = plan->crops.emplace_back();
    crop.set_views(views);
    crop.set_size(size);
    crop.set_min_scale(low);
    crop.set_max_scale(high);
    crop.set_flip_probability(0.5);
  }
  return plan;
}

int64_t WindowOf(const StreamPlan& plan) {
  return static_cast<int64_t>(
      BatchSequence::WindowOf(plan.global_batch / plan.world_size * plan.bytes_per_image()));
}

absl::Status MakePool(const Options& options, const std::string& root, int64_t images) {
  SEER_ASSIGN_OR_RETURN(const auto pool,
                        testing::SparseGeneration::Make(root, "p", images, options.shards));
  const auto plan = Plan(options);
  SEER_ASSIGN_OR_RETURN(const SampleOrder order,
                        SampleOrder::Create(1, images, plan->seed, plan->order));
  for (const int64_t step : options.steps) {
    std::vector<int64_t> rows;
    for (int64_t ahead = 0; ahead < WindowOf(*plan); ++ahead) {
      SEER_ASSIGN_OR_RETURN(const SampleSlice slice,
                            SliceOfRank(step + ahead, options.global_batch, 0, options.world_size));
      for (int64_t i = 0; i < slice.count; ++i) rows.push_back(order.RowOf(slice.first + i));
    }
    SEER_RETURN_IF_ERROR(pool.WriteBlocksOf(rows));
  }
  return absl::OkStatus();
}

absl::Status Measure(const Options& options, const std::string& root, int64_t images,
                     int64_t step) {
  const auto seconds = [start = Clock::Real().Steady()] {
    return absl::ToDoubleSeconds(Clock::Real().Steady() - start);
  };
  SEER_ASSIGN_OR_RETURN(const auto objects, OpenLocalStore(root));
  PoolStore store(*objects, Clock::Real());
  GenerationCache generations(store);
  MetricsRegistry registry;
  DataMetrics metrics(registry);
  WorkPool work(options.threads);
  TakedownWatch takedowns(*objects, Clock::Real());
  Assembler assembler(*objects, takedowns, work, metrics);
  const auto plan = Plan(options);
  SEER_ASSIGN_OR_RETURN(const auto generation, generations.Get("p", 1));
  const double opened = seconds();
  SEER_ASSIGN_OR_RETURN(const SampleOrder order,
                        SampleOrder::Create(1, images, plan->seed, plan->order));
  SEER_ASSIGN_OR_RETURN(const SampleSlice slice,
                        SliceOfRank(step, options.global_batch, 0, options.world_size));
  std::set<int64_t> blocks;
  for (int64_t i = 0; i < slice.count; ++i) {
    const int64_t row = order.RowOf(slice.first + i);
    SEER_RETURN_IF_ERROR(generation->Locations(row, 1).status());
    blocks.insert(row / kIndexBlockRows);
  }
  const double ids = seconds();
  std::vector<std::shared_ptr<PendingBatch>> window;
  for (int64_t ahead = 0; ahead < WindowOf(*plan); ++ahead) {
    window.push_back(assembler.Begin(
        plan, generation, step + ahead, slice.first + ahead * options.global_batch,
        static_cast<int>(slice.count),
        {PixelBuffers().Take(static_cast<size_t>(slice.count * plan->bytes_per_image()))}));
  }
  double first = 0;
  for (const auto& batch : window) {
    batch->done.Wait();
    if (first == 0) first = seconds();
    absl::MutexLock lock(&batch->mu);
    SEER_RETURN_IF_ERROR(batch->status);
  }
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  std::fprintf(stderr, "%12ld %8ld %8ld %8zu %10.3f %10.3f %10.3f %10.1f\n",
               static_cast<long>(images), static_cast<long>(step), static_cast<long>(slice.count),
               blocks.size(), opened, ids, first, static_cast<double>(usage.ru_maxrss) / 1024);
  std::printf(
      "{\"bench\": \"cold_start\", \"images\": %ld, \"step\": %ld, \"samples\": %ld, "
      "\"index_blocks\": %zu, \"open_seconds\": %.4f, \"ids_seconds\": %.4f, "
      "\"batch_seconds\": %.4f, \"peak_mebibytes\": %.1f}\n",
      static_cast<long>(images), static_cast<long>(step), static_cast<long>(slice.count),
      blocks.size(), opened, ids, first, static_cast<double>(usage.ru_maxrss) / 1024);
  return absl::OkStatus();
}

// Runs `body` in a process of its own.
bool Apart(const std::function<absl::Status()>& body) {
  std::fflush(nullptr);
  const pid_t child = fork();
  if (child < 0) return false;
  if (child == 0) {
    const absl::Status status = body();
    if (!status.ok()) std::fprintf(stderr, "cold_start_bench: %s\n", status.ToString().c_str());
    std::fflush(nullptr);
    _exit(status.ok() ? 0 : 1);
  }
  int end = 0;
  return waitpid(child, &end, 0) == child && WIFEXITED(end) && WEXITSTATUS(end) == 0;
}

int Main(int argc, char** argv) {
  Options options;
  CLI::App app{
      "Time and peak memory from nothing to a stream's first batch, by the pool's size. A table "
      "goes to stderr, a line of JSON a case to stdout."};
  app.add_option("--images", options.images, "Sizes of the pool, the smallest is the peer");
  app.add_option("--steps", options.steps, "Steps to start at");
  app.add_option("--global-batch", options.global_batch, "Images a step")->capture_default_str();
  app.add_option("--world-size", options.world_size, "Ranks that share it; rank 0 is measured")
      ->capture_default_str();
  app.add_option("--shards", options.shards, "Of the manifest")->capture_default_str();
  app.add_option("--threads", options.threads, "That decode")->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  std::fprintf(stderr, "%12s %8s %8s %8s %10s %10s %10s %10s\n", "images", "step", "samples",
               "blocks", "open, s", "ids, s", "batch, s", "peak, MiB");
  for (const int64_t images : options.images) {
    testing::TempDir dir;
    const std::string root = dir.path().string();
    if (!Apart([&] { return MakePool(options, root, images); })) return 1;
    for (const int64_t step : options.steps)
      if (!Apart([&] { return Measure(options, root, images, step); })) return 1;
  }
  return 0;
}

}  // namespace
}  // namespace seer::dataservice

int main(int argc, char** argv) { return seer::dataservice::Main(argc, argv); }
