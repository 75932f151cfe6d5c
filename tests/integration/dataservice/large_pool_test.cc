// Serving from a billion images: what a stream's first batches read does not grow with the pool.
#include <gtest/gtest.h>

#include <set>
#include <vector>

#include "common/batches/message.h"
#include "common/metrics/registry.h"
#include "common/objectstore/local_store.h"
#include "dataservice/metrics.h"
#include "dataservice/order/sample_order.h"
#include "dataservice/pool/pool_store.h"
#include "dataservice/serve/assembler.h"
#include "dataservice/serve/generation_cache.h"
#include "tests/support/sparse_generation.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/support/watched_store.h"

namespace seer::dataservice {
namespace {

BatchMemory Memory(const StreamPlan& plan, int64_t images) {
  return {PixelBuffers().Take(static_cast<size_t>(images * plan.bytes_per_image()))};
}

constexpr int64_t kGlobalBatch = 8704;
constexpr int kRank = 3, kWorld = 16;  // 544 samples a rank
constexpr int kManifestShards = 2000;

StreamPlan Plan(OrderKind order) {
  StreamPlan plan;
  plan.pool = "p";
  plan.seed = 7;
  plan.order = order;
  plan.crops.emplace_back();
  plan.crops[0].set_views(2);
  plan.crops[0].set_size(8);
  plan.crops[0].set_min_scale(0.5);
  plan.crops[0].set_max_scale(1);
  return plan;
}

class LargePool : public ::testing::TestWithParam<std::tuple<int64_t, OrderKind>> {};

TEST_P(LargePool, AStepReadsItsOwnBlocksOfTheIndex) {
  const auto [images, kind] = GetParam();
  testing::TempDir dir;
  ASSERT_OK_AND_ASSIGN(const auto sparse, testing::SparseGeneration::Make(dir.path().string(), "p",
                                                                          images, kManifestShards));
  const auto plan = std::make_shared<const StreamPlan>(Plan(kind));
  ASSERT_OK_AND_ASSIGN(const SampleOrder order,
                       SampleOrder::Create(1, images, plan->seed, plan->order));
  ASSERT_OK_AND_ASSIGN(const auto disk, OpenLocalStore(dir.path().string()));
  for (const int64_t step : {int64_t{0}, int64_t{100'000}}) {
    ASSERT_OK_AND_ASSIGN(const SampleSlice slice, SliceOfRank(step, kGlobalBatch, kRank, kWorld));
    std::vector<int64_t> rows;
    std::set<int64_t> blocks;
    for (int64_t i = 0; i < slice.count; ++i) {
      rows.push_back(order.RowOf(slice.first + i));
      blocks.insert(rows.back() / kIndexBlockRows);
    }
    ASSERT_OK(sparse.WriteBlocksOf(rows));

    testing::WatchedStore whole(*disk);
    testing::WatchedStore objects(whole, "/index-");
    PoolStore store(objects, Clock::Real());
    GenerationCache generations(store);
    MetricsRegistry registry;
    DataMetrics metrics(registry);
    WorkPool work(2);
    TakedownWatch takedowns(objects, Clock::Real());
    Assembler assembler(objects, takedowns, work, metrics);
    ASSERT_OK_AND_ASSIGN(const auto generation, generations.Get("p", 1));
    EXPECT_EQ(objects.reads(), 0) << "opening reads no row";
    EXPECT_EQ(whole.reads(), 1) << "but the manifest";
    EXPECT_LT(whole.bytes_read(), 1 << 20);
    const auto batch = assembler.Begin(plan, generation, step, slice.first, slice.count,
                                       Memory(*plan, slice.count));
    batch->done.Wait();
    {
      absl::MutexLock lock(&batch->mu);
      ASSERT_OK(batch->status);
      EXPECT_EQ(batch->bad, 0);
    }
    ASSERT_EQ(batch->message.labels_size(), slice.count);
    for (int i = 0; i < slice.count; ++i) {
      const int64_t row = rows[static_cast<size_t>(i)];
      const ImageLocation expected = sparse.LocationOf(row);
      EXPECT_EQ(batch->message.labels(i), expected.label) << "row " << row;
      EXPECT_EQ(batch->message.image_ids().substr(static_cast<size_t>(i) * 32, 32),
                std::string(expected.id.begin(), expected.id.end()));
    }
    EXPECT_EQ(objects.reads(), static_cast<int64_t>(blocks.size())) << "each block once";
    EXPECT_LE(objects.bytes_read(),
              static_cast<int64_t>(blocks.size()) * kIndexBlockRows * kLocationBytes);
    // The same step again: everything is there.
    assembler.Begin(plan, generation, step, slice.first, slice.count, Memory(*plan, slice.count))
        ->done.Wait();
    EXPECT_EQ(objects.reads(), static_cast<int64_t>(blocks.size()));
  }
}

INSTANTIATE_TEST_SUITE_P(
    Sizes, LargePool,
    ::testing::Combine(::testing::Values(int64_t{1'000'000}, int64_t{1'000'000'000}),
                       ::testing::Values(OrderKind::kShuffled, OrderKind::kReplacement)));

// Images that lie one behind the other, as in an evaluation.
TEST(Assembler, ReadsNeighboursInAShardAtOnce) {
  testing::TempDir dir;
  ASSERT_OK_AND_ASSIGN(const auto sparse,
                       testing::SparseGeneration::Make(dir.path().string(), "p", 600, 1));
  ASSERT_OK(sparse.WriteBlocksOf({0, 64, 128, 192}));
  ASSERT_OK_AND_ASSIGN(const auto disk, OpenLocalStore(dir.path().string()));
  const auto plan = std::make_shared<const StreamPlan>(Plan(OrderKind::kSequential));
  MetricsRegistry registry;
  DataMetrics metrics(registry);
  WorkPool work(1);
  const auto read = [&](const ReadOptions& options, int count, std::string& message) {
    testing::WatchedStore objects(*disk, "/shards/");
    PoolStore store(objects, Clock::Real());
    GenerationCache generations(store);
    TakedownWatch takedowns(objects, Clock::Real());
    Assembler assembler(objects, takedowns, work, metrics, options);
    const auto batch =
        assembler.Begin(plan, *generations.Get("p", 1), 0, 0, count, Memory(*plan, count));
    batch->done.Wait();
    absl::MutexLock lock(&batch->mu);
    EXPECT_OK(batch->status);
    message = batch->message.SerializeAsString();
    message.append(reinterpret_cast<const char*>(batch->pixels.get()),
                   static_cast<size_t>(PixelBytes(batch->message)));
    return objects.reads();
  };
  std::string together, apart, small;
  // 61 pictures behind one another, 512 or more bytes of headers between them.
  EXPECT_EQ(read({}, 61, together), 4) << "16 at a time";
  EXPECT_EQ(read({.gap_bytes = 0}, 61, apart), 61);
  EXPECT_EQ(read({.read_bytes = 1}, 61, small), 61) << "an image may be larger than a read";
  EXPECT_EQ(together, apart);
  EXPECT_EQ(together, small);
  // Several rows of a block are the same bytes: read together, made for each.
  EXPECT_LE(read({}, 256, together), 256 / 16);
}

TEST(Assembler, ADamagedIndexEndsTheBatch) {
  testing::TempDir dir;
  ASSERT_OK_AND_ASSIGN(const auto sparse,
                       testing::SparseGeneration::Make(dir.path().string(), "p", 600, 1));
  ASSERT_OK(sparse.WriteBlocksOf(
      {0, 64, 128, 192, 320}));  // the block between is zeros: images without pixels
  ASSERT_OK_AND_ASSIGN(const auto objects, OpenLocalStore(dir.path().string()));
  PoolStore store(*objects, Clock::Real());
  GenerationCache generations(store);
  MetricsRegistry registry;
  DataMetrics metrics(registry);
  WorkPool work(2);
  TakedownWatch takedowns(*objects, Clock::Real());
  Assembler assembler(*objects, takedowns, work, metrics);
  const auto plan = std::make_shared<const StreamPlan>(Plan(OrderKind::kSequential));
  ASSERT_OK_AND_ASSIGN(const auto generation, generations.Get("p", 1));
  const auto batch = assembler.Begin(plan, generation, 0, 0, 300, Memory(*plan, 300));
  batch->done.Wait();
  absl::MutexLock lock(&batch->mu);
  EXPECT_THAT(batch->status,
              testing::FailsWith(absl::StatusCode::kDataLoss, reason::kPoolCorrupt, "row 256"));
}

}  // namespace
}  // namespace seer::dataservice
