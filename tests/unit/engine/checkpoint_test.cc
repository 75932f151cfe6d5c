// Checkpoints as files: what is written comes back, into tensors of any layout and from either kind
// of store, and nothing else does.
#include <cstring>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include "absl/synchronization/mutex.h"
#include "common/base/reasons.h"
#include "common/objectstore/local_store.h"
#include "common/objectstore/memory_store.h"
#include "engine/checkpoint/files.h"
#include "engine/checkpoint/parallel.h"
#include "engine/checkpoint/reader.h"
#include "engine/checkpoint/snapshot.h"
#include "engine/checkpoint/writer.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace seer::engine {
namespace {

using seer::testing::FailsWith;

at::Tensor Random(at::IntArrayRef sizes, uint64_t seed) {
  return at::randn(sizes, at::detail::createCPUGenerator(seed), at::kFloat);
}

// Of 14 MiB: four pieces, none of whose bounds is one of a tensor.
std::vector<NamedTensor> Tensors(bool filled) {
  const auto fill = [&](at::IntArrayRef sizes, uint64_t seed) {
    return filled ? Random(sizes, seed) : at::zeros(sizes);
  };
  return {{"bias", fill({3}, 1)},
          {"conv", fill({300, 123, 3, 3}, 2).contiguous(at::MemoryFormat::ChannelsLast)},
          {"big", fill({2311, 1000}, 3)},
          {"turned", fill({77, 1300}, 4).t()},
          {"step", filled ? at::arange(7, at::kLong) : at::zeros({7}, at::kLong)},
          {"none", fill({0, 4}, 5)},
          {"scalar", fill({}, 6)}};
}

class StoredTest : public ::testing::TestWithParam<std::string> {
 protected:
  StoredTest() : store_(GetParam() == "memory" ? MakeMemoryStore() : *OpenLocalStore(dir_ / "s")) {}

  void Write(const std::vector<NamedTensor>& tensors, int world_size) {
    for (int rank = 0; rank < world_size; ++rank) {
      ASSERT_OK(WriteSnapshot(
          TakeSnapshot(HeldWhole(tensors), {}, {{"step", "3"}}, rank, world_size), *store_, "c"));
    }
  }
  const seer::testing::TempDir dir_;
  const std::unique_ptr<ObjectStore> store_;
};
INSTANTIATE_TEST_SUITE_P(Stores, StoredTest, ::testing::Values("memory", "local"));

TEST_P(StoredTest, ComesBackIntoTensorsOfAnyStrides) {
  for (const int world_size : {1, 3}) {
    Write(Tensors(true), world_size);
    const auto back = Tensors(false);
    for (const NamedTensor& t : back) t.tensor.requires_grad_(t.tensor.is_floating_point());
    ASSERT_OK(RestoreCheckpoint(*store_, "c", HeldWhole(back), /*exact=*/true));
    const auto expected = Tensors(true);
    for (size_t i = 0; i < back.size(); ++i)
      EXPECT_TRUE(back[i].tensor.equal(expected[i].tensor)) << back[i].name;
  }
}

TEST_P(StoredTest, AnOwnerOfPartsGetsEachTensorOnceAndWhole) {
  Write(Tensors(true), 2);
  const auto expected = Tensors(true);
  absl::Mutex mu;
  std::multiset<std::string> seen;
  std::vector<StateTensor> parts = HeldWhole(expected);
  for (StateTensor& part : parts) {
    const at::Tensor whole = part.held;
    part.held.reset();
    part.restore = [&mu, &seen, whole, name = part.name](const at::Tensor& there) {
      const absl::MutexLock lock(&mu);
      EXPECT_TRUE(there.equal(whole)) << name;
      seen.insert(name);
    };
  }
  ASSERT_OK(RestoreCheckpoint(*store_, "c", parts, /*exact=*/true));
  EXPECT_EQ(seen, (std::multiset<std::string>{"bias", "conv", "big", "turned", "step", "scalar"}));
}

TEST_P(StoredTest, AFlippedBitInAnyPieceIsFound) {
  Write(Tensors(true), 1);
  const std::string good = *store_->Get("c/rank-0.safetensors");
  for (size_t at = 0; at <= good.size(); at += size_t{3} << 20) {
    std::string bad = good;
    char& byte = bad[std::min(at, bad.size() - 1)];
    byte = static_cast<char>(byte ^ 1);
    ASSERT_OK(store_->Put("c/rank-0.safetensors", bad));
    EXPECT_THAT(RestoreCheckpoint(*store_, "c", HeldWhole(Tensors(false)), /*exact=*/true),
                FailsWith(absl::StatusCode::kDataLoss, reason::kCheckpointCorrupt, "c/rank-0"))
        << at;
  }
}

// The digest that was there before pieces had their own.
TEST_P(StoredTest, OlderFilesLoadAndAreVerified) {
  const HostSnapshot snapshot =
      TakeSnapshot(HeldWhole(Tensors(true)), {}, {{"step", "3"}}, /*rank=*/0, /*world_size=*/1);
  SafetensorsHeader header = snapshot.header;
  header.metadata["content_sha256"] = ContentDigest(header, snapshot.data());
  std::string file = EncodeSafetensorsHeader(header) + std::string(snapshot.data());
  ASSERT_OK(store_->Put("c/rank-0.safetensors", file));
  const auto back = Tensors(false);
  ASSERT_OK(RestoreCheckpoint(*store_, "c", HeldWhole(back), /*exact=*/true));
  EXPECT_TRUE(back[1].tensor.equal(Tensors(true)[1].tensor));
  file[file.size() - 9] = static_cast<char>(file[file.size() - 9] ^ 4);
  ASSERT_OK(store_->Put("c/rank-0.safetensors", file));
  EXPECT_THAT(RestoreCheckpoint(*store_, "c", HeldWhole(back), /*exact=*/true),
              FailsWith(absl::StatusCode::kDataLoss, reason::kCheckpointCorrupt, "SHA-256"));
}

TEST_P(StoredTest, NothingChangesIfSomethingDoesNotFit) {
  Write(Tensors(true), 2);
  auto state = Tensors(false);
  state.push_back({"zz", at::zeros({1})});
  EXPECT_THAT(
      RestoreCheckpoint(*store_, "c", HeldWhole(state), /*exact=*/false),
      FailsWith(absl::StatusCode::kFailedPrecondition, reason::kCheckpointMismatch, "'zz'"));
  state.back() = {"bias", at::zeros({3}, at::kLong)};
  EXPECT_THAT(RestoreCheckpoint(*store_, "c", HeldWhole(state), /*exact=*/false),
              FailsWith(absl::StatusCode::kFailedPrecondition, reason::kCheckpointMismatch, "F32"));
  state.pop_back();
  const auto refuse = [](const std::map<std::string, std::string>& metadata) {
    EXPECT_EQ(metadata.at("step"), "3");
    return absl::AbortedError("no");
  };
  EXPECT_THAT(RestoreCheckpoint(*store_, "c", HeldWhole(state), /*exact=*/true, refuse),
              seer::testing::StatusIs(absl::StatusCode::kAborted));
  state.pop_back();
  EXPECT_THAT(
      RestoreCheckpoint(*store_, "c", HeldWhole(state), /*exact=*/true),
      FailsWith(absl::StatusCode::kFailedPrecondition, reason::kCheckpointMismatch, "'scalar'"));
  for (const NamedTensor& t : state) EXPECT_FALSE(t.tensor.any().item<bool>()) << t.name;
}

TEST(TakeSnapshot, UsesTheLastOnesMemoryAgain) {
  HostSnapshot first = TakeSnapshot(HeldWhole(Tensors(true)), {}, {}, 0, 1);
  const std::string bytes(first.data());
  const char* const memory = first.buffer.bytes.get();
  const HostSnapshot second =
      TakeSnapshot(HeldWhole(Tensors(true)), {}, {}, 0, 1, std::move(first.buffer));
  EXPECT_EQ(second.buffer.bytes.get(), memory);
  EXPECT_TRUE(second.data() == bytes);
  HostBuffer small = {std::make_unique<char[]>(5), 5};
  EXPECT_TRUE(TakeSnapshot(HeldWhole(Tensors(true)), {}, {}, 0, 1, std::move(small)).data() ==
              bytes);
}

TEST(TakeSnapshot, EachTensorStandsAtAMultipleOfItsElement) {
  std::vector<NamedTensor> odd = Tensors(true);
  HostSnapshot snapshot = TakeSnapshot(HeldWhole(odd), {}, {}, 0, 1);
  EncodeSafetensorsHeader(snapshot.header);
  for (const SafetensorsEntry& entry : snapshot.header.entries)
    EXPECT_EQ(entry.begin % SafetensorsElementBytes(entry.dtype), 0) << entry.name;
}

TEST(TakeSnapshot, EveryRankGathersEveryTensorThatIsInPartsInOrder) {
  for (const int rank : {0, 1}) {
    std::vector<std::string> gathered;
    std::vector<StateTensor> state = HeldWhole(Tensors(true));
    for (StateTensor& t : state) {
      t.whole = [&gathered, whole = t.held, name = t.name] {
        gathered.push_back(name);
        return whole;
      };
      t.held.reset();
    }
    const HostSnapshot parts = TakeSnapshot(state, {}, {}, rank, 2);
    EXPECT_EQ(gathered, (std::vector<std::string>{"bias", "conv", "big", "turned", "step", "none",
                                                  "scalar"}));
    EXPECT_TRUE(parts.data() == TakeSnapshot(HeldWhole(Tensors(true)), {}, {}, rank, 2).data());
  }
}

TEST(RunInParallel, RunsTurnsAtTheSameTime) {
  const int before = at::get_num_threads();
  at::set_num_threads(2);
  absl::Mutex mu;
  int there = 0;
  RunInParallel(2, [&](int64_t) {
    const absl::MutexLock lock(&mu);
    ++there;
    const auto both = [](int* count) { return *count == 2; };
    EXPECT_TRUE(mu.AwaitWithTimeout(absl::Condition(+both, &there), absl::Seconds(60)));
  });
  at::set_num_threads(before);
}

TEST(RunInParallel, RunsEachTurnOnce) {
  std::vector<std::atomic<int>> turns(1000);
  RunInParallel(1000, [&](int64_t i) { ++turns[static_cast<size_t>(i)]; });
  for (const auto& count : turns) EXPECT_EQ(count, 1);
  RunInParallel(0, [](int64_t) { FAIL(); });
  EXPECT_THROW(RunInParallel(5, [](int64_t) { throw std::runtime_error("x"); }),
               std::runtime_error);
}

}  // namespace
}  // namespace seer::engine
