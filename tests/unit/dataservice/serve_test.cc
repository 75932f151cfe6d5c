// The parts of serving that need no server: the cache of catalogues, the work pool, requests.
#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <functional>
#include <limits>
#include <vector>

#include "absl/synchronization/blocking_counter.h"
#include "absl/synchronization/notification.h"
#include "common/base/clock.h"
#include "common/base/thread.h"
#include "common/objectstore/memory_store.h"
#include "dataservice/serve/batch_sequence.h"
#include "dataservice/serve/generation_cache.h"
#include "dataservice/serve/stream_request.h"
#include "dataservice/serve/work_pool.h"
#include "tests/support/status_matchers.h"
#include "tests/support/watched_store.h"

namespace seer::dataservice {
namespace {

using testing::FailsWith;

void Commit(PoolStore& store, int64_t generation) {
  Manifest manifest;
  manifest.generation = generation;
  ASSERT_OK(store.Commit("p", manifest));
}

// All ranks of a job begin at once: their catalogue must not be read and held once each.
TEST(GenerationCache, StreamsThatStartTogetherReadTheCatalogueOnce) {
  constexpr int kStreams = 8;
  absl::BlockingCounter started(kStreams);
  std::atomic<int> reads{0};
  const auto memory = MakeMemoryStore();
  testing::WatchedStore objects(*memory, "", [&](absl::string_view key) {
    if (key.find("manifest.json") == absl::string_view::npos) return;
    if (reads++ == 0) started.Wait();  // the first read ends when all streams have come
  });
  PoolStore store(objects, Clock::Real());
  Commit(store, 1);
  GenerationCache cache(store);
  std::vector<std::shared_ptr<const Generation>> got(kStreams);
  {
    std::vector<Thread> threads;
    for (int i = 0; i < kStreams; ++i) {
      threads.emplace_back("stream", [&, i] {
        started.DecrementCount();
        got[static_cast<size_t>(i)] = cache.Get("p", 1).value();
      });
    }
    for (Thread& thread : threads) thread.Join();
  }
  EXPECT_EQ(reads, 1);
  for (const auto& generation : got) EXPECT_EQ(generation, got[0]);
}

TEST(GenerationCache, AFailureIsNotKept) {
  const auto objects = MakeMemoryStore();
  PoolStore store(*objects, Clock::Real());
  GenerationCache cache(store);
  for (int i = 0; i < 2; ++i) {
    EXPECT_THAT(cache.Get("p", 1),
                FailsWith(absl::StatusCode::kNotFound, reason::kGenerationNotFound, "1"));
  }
  Commit(store, 1);
  EXPECT_OK(cache.Get("p", 1));
}

TEST(GenerationCache, KeepsTheMostRecentlyUsed) {
  std::vector<std::string> read;
  const auto memory = MakeMemoryStore();
  testing::WatchedStore objects(*memory, "", [&](absl::string_view key) {
    if (key.find("manifest.json") != absl::string_view::npos) read.emplace_back(key);
  });
  PoolStore store(objects, Clock::Real());
  const int64_t most = GenerationCache::kGenerations;
  for (int64_t generation = 1; generation <= most + 1; ++generation) Commit(store, generation);
  GenerationCache cache(store);
  for (int64_t generation = 1; generation <= most; ++generation)
    ASSERT_OK(cache.Get("p", generation));
  ASSERT_OK(cache.Get("p", 1));         // used again: 2 is the oldest now
  ASSERT_OK(cache.Get("p", most + 1));  // pushes 2 out
  EXPECT_EQ(read.size(), static_cast<size_t>(most + 1));
  ASSERT_OK(cache.Get("p", 1));
  EXPECT_EQ(read.size(), static_cast<size_t>(most + 1));
  ASSERT_OK(cache.Get("p", 2));
  EXPECT_EQ(read.size(), static_cast<size_t>(most + 2));
}

TEST(WorkPool, ItsEndRunsWhatIsQueued) {
  std::atomic<int> done{0};
  absl::Notification go;
  {
    WorkPool pool(2);
    for (int i = 0; i < 100; ++i) {
      pool.Post([&] {
        go.WaitForNotification();
        ++done;
      });
    }
    go.Notify();
  }
  EXPECT_EQ(done, 100);
}

TEST(BatchSequence, AWindowOfLargeMessagesIsSmaller) {
  EXPECT_EQ(BatchSequence::WindowOf(1), 4u);
  EXPECT_EQ(BatchSequence::WindowOf(int64_t{160} << 20), 4u);
  EXPECT_EQ(BatchSequence::WindowOf(int64_t{161} << 20), 3u);
  EXPECT_EQ(BatchSequence::WindowOf(int64_t{480} << 20), 2u);
}

v1::StreamBatchesRequest Request() {
  v1::StreamBatchesRequest request;
  request.set_pool("pools/p");
  request.add_data_plan()->set_generation(1);
  auto& later = *request.add_data_plan();
  later.set_first_step(10);
  later.set_generation(3);
  request.set_end_step(20);
  request.set_world_size(2);
  request.set_global_batch(8);
  request.set_order(v1::SAMPLE_ORDER_SHUFFLED);
  auto& crop = *request.add_crops();
  crop.set_views(2);
  crop.set_size(16);
  crop.set_min_scale(0.5);
  crop.set_max_scale(1);
  return request;
}

TEST(StreamRequest, APlanSaysWhichGenerationAStepReads) {
  ASSERT_OK_AND_ASSIGN(const StreamPlan plan, CheckStreamRequest(Request()));
  EXPECT_EQ(plan.GenerationAt(0), 1);
  EXPECT_EQ(plan.GenerationAt(9), 1);
  EXPECT_EQ(plan.GenerationAt(10), 3);
  EXPECT_EQ(plan.GenerationAt(1'000'000), 3);
  EXPECT_EQ(plan.views(), 2);
  EXPECT_EQ(plan.bytes_per_image(), 2 * 16 * 16 * 3);
}

TEST(StreamRequest, EveryRefusalNamesItsField) {
  using Change = std::function<void(v1::StreamBatchesRequest&)>;
  const std::pair<const char*, Change> changes[] = {
      {"name", [](auto& r) { r.set_pool("pools/../etc"); }},
      {"data_plan", [](auto& r) { r.clear_data_plan(); }},
      {"data_plan.first_step", [](auto& r) { r.mutable_data_plan(0)->set_first_step(1); }},
      {"data_plan.first_step", [](auto& r) { r.mutable_data_plan(1)->set_first_step(0); }},
      {"data_plan.generation", [](auto& r) { r.mutable_data_plan(1)->set_generation(0); }},
      {"crops", [](auto& r) { r.clear_crops(); }},
      {"crops.views", [](auto& r) { r.mutable_crops(0)->set_views(65); }},
      {"crops.size", [](auto& r) { r.mutable_crops(0)->set_size(7); }},
      {"crops.min_scale", [](auto& r) { r.mutable_crops(0)->set_min_scale(0); }},
      {"crops.min_scale", [](auto& r) { r.mutable_crops(0)->set_max_scale(0.4f); }},
      {"crops.min_scale", [](auto& r) { r.mutable_crops(0)->set_min_scale(NAN); }},
      {"crops.flip_probability", [](auto& r) { r.mutable_crops(0)->set_flip_probability(1.5f); }},
      {"crops.interpolation",
       [](auto& r) { r.mutable_crops(0)->set_interpolation(static_cast<v1::Interpolation>(9)); }},
      {"crops.interpolation",
       [](auto& r) {
         r.mutable_crops(0)->set_center(true);
         r.mutable_crops(0)->set_interpolation(static_cast<v1::Interpolation>(-1));
       }},
      {"order", [](auto& r) { r.clear_order(); }},
      {"order", [](auto& r) { r.set_order(static_cast<v1::SampleOrder>(4)); }},
      {"one_epoch", [](auto& r) { r.set_one_epoch(true); }},
      {"one_epoch",
       [](auto& r) {
         r.set_one_epoch(true);
         r.set_world_size(1);
         r.set_order(v1::SAMPLE_ORDER_REPLACEMENT);
       }},
      {"max_bad_ratio", [](auto& r) { r.set_max_bad_ratio(-0.1f); }},
      {"end_step", [](auto& r) { r.set_first_step(21); }},
      {"step", [](auto& r) { r.set_first_step(-1); }},
      {"step", [](auto& r) { r.set_end_step(std::numeric_limits<int64_t>::max()); }},
      {"rank", [](auto& r) { r.set_rank(2); }},
      {"world_size", [](auto& r) { r.set_world_size(0); }},
      {"global_batch", [](auto& r) { r.set_global_batch(7); }},
      {"global_batch", [](auto& r) { r.set_global_batch(int64_t{1} << 40); }},
      {"global_batch",  // times the bytes of an image it is 0 in 64 bits
       [](auto& r) {
         r.set_global_batch(int64_t{1} << 61);
         r.set_end_step(2);
       }},
  };
  for (const auto& [field, change] : changes) {
    auto request = Request();
    change(request);
    const auto plan = CheckStreamRequest(request);
    ASSERT_THAT(plan, testing::StatusIs(absl::StatusCode::kInvalidArgument)) << field;
    EXPECT_EQ(GetErrorDetail(plan.status())->field, field);
  }
}

}  // namespace
}  // namespace seer::dataservice
