// One rank's stream as the trainer reads it, out of a data service that runs already or made in
// this process (worker/trainer/batch_stream.h, local_batches.h): time to the first batch, images
// and bytes of crops a second after it, and what this process spent, threads that decode apart.
// bench/transports.py compares the ways that batches come, bench/data_peers.py other loaders.
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "common/base/digest.h"
#include "common/metrics/registry.h"
#include "engine/session/host_allocator.h"
#include "worker/trainer/batch_stream.h"
#include "worker/trainer/local_batches.h"

namespace seer {
namespace {

struct Options {
  std::vector<std::string> replicas;
  std::string pool, pools;
  bool messages = false;
  int threads = 1;
  int64_t first_step = 0;
  int64_t batches = 20;
  int batch = 64;
  std::vector<int> views = {2, 4}, sizes = {224, 96};
};

v1::StreamBatchesRequest Request(const Options& options) {
  v1::StreamBatchesRequest request;
  request.set_pool("pools/" + options.pool);
  request.add_data_plan()->set_generation(1);
  request.set_seed(7);
  request.set_first_step(options.first_step);
  request.set_end_step(options.first_step + options.batches);
  request.set_world_size(1);
  request.set_global_batch(options.batch);
  request.set_order(v1::SAMPLE_ORDER_SHUFFLED);
  request.set_max_bad_ratio(0.01);
  for (size_t i = 0; i < options.sizes.size(); ++i) {
    v1::CropRecipe& crop = *request.add_crops();
    crop.set_views(options.views[i]);
    crop.set_size(options.sizes[i]);
    crop.set_min_scale(i == 0 ? 0.14 : 0.05);
    crop.set_max_scale(i == 0 ? 1.0 : 0.14);
    crop.set_flip_probability(0.5);
  }
  return request;
}

double CpuSeconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec);
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

// Of this process's threads that decode.
double DecodeSeconds() {
  double seconds = 0;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
    std::string name;
    double nanoseconds = 0;
    std::ifstream(task.path() / "comm") >> name;
    std::ifstream(task.path() / "schedstat") >> nanoseconds;
    if (name == "decode") seconds += 1e-9 * nanoseconds;
  }
  return seconds;
}

int Fail(const absl::Status& status) {
  std::fprintf(stderr, "stream_bench: %s\n", status.ToString().c_str());
  return 1;
}

int Run(const Options& options) {
  const absl::Time start = absl::Now();
  MetricsRegistry metrics;
  std::unique_ptr<worker::LocalPools> local;
  std::unique_ptr<engine::BatchSource> stream;
  if (options.pools.empty()) {
    worker::BatchStreamOptions how;
    how.replicas = options.replicas;
    how.shared_memory = !options.messages;
    stream = std::make_unique<worker::BatchStream>(Request(options), how);
  } else {
    auto opened = worker::LocalPools::Open(options.pools, options.pool, options.threads, metrics);
    if (!opened.ok()) return Fail(opened.status());
    local = *std::move(opened);
    stream = local->Batches(Request(options));
  }
  double first = 0, cpu = 0, decode = 0, bytes = 0;
  std::vector<std::string> ids;  // a digest a batch
  for (int64_t step = 0; step < options.batches; ++step) {
    const auto batch = stream->Next();
    if (!batch.ok()) return Fail(batch.status());
    std::string of_batch;
    for (const auto& id : batch->image_ids) of_batch.append(id.begin(), id.end());
    ids.push_back(absl::StrCat("\"", Sha256Hex(of_batch), "\""));
    if (step == 0) {
      first = absl::ToDoubleSeconds(absl::Now() - start);
      cpu = CpuSeconds();
      decode = DecodeSeconds();
      continue;
    }
    for (const auto& crop : batch->crops) bytes += static_cast<double>(crop.pixels.size());
  }
  const double seconds = absl::ToDoubleSeconds(absl::Now() - start) - first;
  const double images = static_cast<double>((options.batches - 1) * options.batch);
  const double spent = CpuSeconds() - cpu, decoded = DecodeSeconds() - decode;
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  std::printf(
      "{\"first_seconds\": %.4f, \"images_per_second\": %.2f, \"megabytes_per_second\": %.2f, "
      "\"bytes_per_image\": %.0f, \"cpu_seconds_per_image\": %.3g, "
      "\"decode_seconds_per_image\": %.3g, \"peak_mib\": %.0f, \"ids\": [%s]}\n",
      first, images / seconds, bytes / seconds / 1e6, bytes / images, (spent - decoded) / images,
      decoded / images, static_cast<double>(usage.ru_maxrss) / 1024,
      absl::StrJoin(ids, ", ").c_str());
  return 0;
}

}  // namespace
}  // namespace seer

int main(int argc, char** argv) {
  seer::engine::KeepFreedMemory();  // as the trainer
  seer::Options options;
  CLI::App app("Reads one rank's batches and prints what it took, as JSON.");
  app.add_option("--replica", options.replicas, "HOST:PORT of a data service");
  app.add_option("--pools", options.pools,
                 "Root of the pools: batches are made in this process instead");
  app.add_option("--threads", options.threads, "Threads that decode, with --pools")
      ->capture_default_str();
  app.add_flag("--messages", options.messages, "Pixels come in messages, not in shared memory");
  app.add_option("--pool", options.pool, "Name of the pool")->required();
  app.add_option("--first-step", options.first_step, "Where the stream begins")
      ->capture_default_str();
  app.add_option("--batches", options.batches, "Batches to read, the first is timed by itself")
      ->check(CLI::Range(2, 1'000'000))
      ->capture_default_str();
  app.add_option("--batch", options.batch, "Images a batch")->capture_default_str();
  app.add_option("--sizes", options.sizes, "Pixels of each kind of crop")->capture_default_str();
  app.add_option("--views", options.views, "Crops of each kind")->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  if (options.sizes.size() != options.views.size()) {
    std::fprintf(stderr, "stream_bench: as many --views as --sizes\n");
    return 2;
  }
  if (options.replicas.empty() == options.pools.empty()) {
    std::fprintf(stderr, "stream_bench: either --replica or --pools\n");
    return 2;
  }
  return seer::Run(options);
}
