// How fast a pool is filled, beside what cannot be left out: reading each image's bytes, hashing
// them, and decoding them at the smallest scale, on one thread.
//   ingest_bench [--rounds 5] SHARD.tar...
// The shards as they are, and their images as files of a folder, go into a pool in TMPDIR, which is
// made anew for each round. Rounds alternate, the best counts.
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "common/base/check.h"
#include "common/base/digest.h"
#include "common/objectstore/local_store.h"
#include "dataservice/decode/decoder.h"
#include "dataservice/ingest/ingest.h"
#include "dataservice/ingest/sources.h"
#include "tests/support/image_files.h"
#include "tests/support/read_sources.h"
#include "tests/support/temp_dir.h"

namespace seer::dataservice {
namespace {

struct Spent {
  double seconds = 1e9;  // best of all rounds
  double cpu = 0;        // of that round
};

double CpuSeconds() {
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec);
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

void Time(Spent& best, const std::function<void()>& work) {
  const double cpu = CpuSeconds();
  const absl::Time begun = absl::Now();
  work();
  const double seconds = absl::ToDoubleSeconds(absl::Now() - begun);
  if (seconds < best.seconds) best = {seconds, CpuSeconds() - cpu};
}

void CheckAll(const std::vector<std::string>& shards) {
  const auto images = testing::ReadAll(shards);
  SEER_CHECK(images.ok()) << images.status();
  DecodeOptions options;
  options.min_width = options.min_height = 1;
  for (const SourceImage& image : *images) {
    Sha256(image.bytes);
    SEER_CHECK(Decode(image.bytes, options).ok()) << image.source;
  }
}

void Fill(const std::string& folder, const std::vector<std::string>& sources) {
  auto objects = OpenLocalStore(folder);
  SEER_CHECK(objects.ok()) << objects.status();
  PoolStore store(**objects, Clock::Real());
  SEER_CHECK(store.Create("p", {}).ok());
  IngestOptions options;
  options.sources = sources;
  const auto counts = IngestIntoPool(store, Clock::Real(), "p", options,
                                     [](const IngestCounts&) { return absl::OkStatus(); });
  SEER_CHECK(counts.ok()) << counts.status();
  SEER_CHECK(counts->added == counts->seen) << counts->added << " of " << counts->seen;
}

int Main(int argc, char** argv) {
  std::vector<std::string> shards;
  int rounds = 5;
  CLI::App app{"Ingest rate"};
  app.add_option("shards", shards, "WebDataset tar shards")->required()->check(CLI::ExistingFile);
  app.add_option("--rounds", rounds)->check(CLI::PositiveNumber)->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  const testing::TempDir dir;
  const auto images = testing::ReadAll(shards);
  SEER_CHECK(images.ok()) << images.status();
  const size_t count = images->size();
  int64_t bytes = 0;
  for (size_t i = 0; i < count; ++i) {
    bytes += static_cast<int64_t>((*images)[i].bytes.size());
    testing::WriteFile(dir / absl::StrFormat("files/%04d/%08d.jpg", i / 1000, i),
                       (*images)[i].bytes);
  }
  Spent bound, of_shards, of_files;
  for (int round = 0; round < rounds; ++round) {
    Time(bound, [&] { CheckAll(shards); });
    Time(of_shards, [&] { Fill(dir / "pools", shards); });
    std::filesystem::remove_all(dir / "pools");
    Time(of_files, [&] { Fill(dir / "pools", {dir / "files"}); });
    std::filesystem::remove_all(dir / "pools");
  }
  std::printf("%zu images of %d KiB on average, one thread\n", count,
              static_cast<int>(bytes / static_cast<int64_t>(count) / 1024));
  const auto line = [&](const char* what, const Spent& spent) {
    std::printf("%-28s %8.0f images/s  %8.0f a second of CPU time  %.2f of the bound's rate\n",
                what, static_cast<double>(count) / spent.seconds,
                static_cast<double>(count) / spent.cpu, bound.seconds / spent.seconds);
  };
  line("read, hash and decode", bound);
  line("ingest of shards", of_shards);
  line("ingest of files in a folder", of_files);
  return 0;
}

}  // namespace
}  // namespace seer::dataservice

int main(int argc, char** argv) { return seer::dataservice::Main(argc, argv); }
