// Whole runs through the torch-free face, on one rank.
#include "engine/session/train_session.h"

#include <map>

#include "common/base/reasons.h"
#include "engine/checkpoint/reader.h"
#include "engine/session/eval_session.h"
#include "tests/unit/engine/small_run.h"

#include <ATen/ATen.h>

namespace seer::engine {
namespace {

using seer::testing::FailsWith;
using testing::CheckpointBytes;
using testing::LargestLossGap;
using testing::RunSmall;
using testing::SmallBatch;
using testing::SmallConfig;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

at::Tensor TensorOf(ObjectStore& store, const std::string& prefix, const std::string& name) {
  return ReadCheckpoint(store, prefix)->tensors.at(name);
}

TEST(TrainSession, LearnsAndReports) {
  TrainConfig config = SmallConfig();
  config.optim.base_lr = 0.4;
  const auto reports = RunSmall(config, {.until = 30});
  ASSERT_EQ(reports.size(), 30u);
  double first = 0, last = 0;
  for (size_t i = 0; i < 5; ++i) first += reports[i].loss / 5, last += reports[25 + i].loss / 5;
  EXPECT_LT(last, first - 0.3);
  for (const StepReport& report : reports) {
    EXPECT_FALSE(report.skipped);
    EXPECT_FALSE(report.stop_requested);
    EXPECT_EQ(report.images, 16);
    EXPECT_GT(report.flops, 0);
    EXPECT_GT(report.gradient_norm, 0);
    EXPECT_GT(report.prototypes_used_ratio, 0);
    EXPECT_LE(report.prototypes_used_ratio, 1);
    EXPECT_LE(report.assignment_entropy_nats, std::log(20.0) + 1e-6);
    EXPECT_GT(report.phases.forward, 0);
    EXPECT_GT(report.phases.backward, 0);
  }
  EXPECT_DOUBLE_EQ(reports[0].learning_rate, 0.02);
  EXPECT_DOUBLE_EQ(reports[3].learning_rate, 0.4);
}

TEST(TrainSession, TwoRunsAreBitEqual) {
  const auto store = MakeMemoryStore();
  RunSmall(SmallConfig(), {.until = 6, .save_to = "a", .store = store.get()});
  RunSmall(SmallConfig(), {.until = 6, .save_to = "b", .store = store.get()});
  TrainConfig other = SmallConfig();
  other.seed = 18;
  RunSmall(other, {.until = 6, .save_to = "c", .store = store.get()});
  EXPECT_EQ(CheckpointBytes(*store, "a"), CheckpointBytes(*store, "b"));
  EXPECT_NE(CheckpointBytes(*store, "a"), CheckpointBytes(*store, "c"));
}

TEST(TrainSession, StopAndRestoreIsNoStopAtAll) {
  TrainConfig config = SmallConfig();
  config.swav.queue_length = 40;  // not yet full at the stop: 32 rows
  config.swav.freeze_prototypes_steps = 3;
  const auto store = MakeMemoryStore();
  const auto whole = RunSmall(config, {.until = 6, .save_to = "whole", .store = store.get()});
  RunSmall(config, {.until = 2, .save_to = "half", .store = store.get()});
  const auto rest = RunSmall(
      config, {.until = 6, .restore_from = "half", .save_to = "resumed", .store = store.get()});
  ASSERT_EQ(rest.size(), 4u);
  EXPECT_EQ(rest[0].step, 2);
  EXPECT_EQ(rest[3].loss, whole[5].loss);
  EXPECT_EQ(CheckpointBytes(*store, "whole"), CheckpointBytes(*store, "resumed"));
}

TEST(TrainSession, RecomputeChangesNothing) {
  const auto store = MakeMemoryStore();
  TrainConfig config = SmallConfig();
  const auto kept = RunSmall(config, {.until = 4, .save_to = "kept", .store = store.get()});
  config.memory.recompute = MemoryConfig::Recompute::kAll;
  RunSmall(config, {.until = 4, .save_to = "all", .store = store.get()});
  config.memory.recompute = MemoryConfig::Recompute::kList;
  config.memory.recompute_segments = {0, 2, 6};
  RunSmall(config, {.until = 4, .save_to = "some", .store = store.get()});
  EXPECT_EQ(CheckpointBytes(*store, "kept"), CheckpointBytes(*store, "all"))
      << "running statistics included";
  EXPECT_EQ(CheckpointBytes(*store, "kept"), CheckpointBytes(*store, "some"));
  config.memory.recompute = MemoryConfig::Recompute::kBudget;
  config.memory.budget_bytes = 7'700'000;  // all kept: 8.3 million
  RunSmall(config, {.until = 4, .save_to = "budget", .store = store.get()});
  EXPECT_EQ(CheckpointBytes(*store, "kept"), CheckpointBytes(*store, "budget"));
  config.memory.budget_bytes = 1000;
  EXPECT_THAT(TrainSession::Create(config, {}),
              FailsWith(kInvalid, reason::kOutOfRange, "a budget of 1000 bytes is too small"));
  config.memory.recompute = MemoryConfig::Recompute::kList;
  config.memory.recompute_segments = {7};
  EXPECT_THAT(TrainSession::Create(config, {}),
              FailsWith(kInvalid, reason::kOutOfRange, "segment 7"));
}

TEST(TrainSession, QueueIsUsedOnceFullAndHoldsTheNewestFirst) {
  TrainConfig config = SmallConfig();
  const auto plain = RunSmall(config, {.until = 5});
  config.swav.queue_length = 32;
  config.swav.queue_start_step = 1;
  const auto store = MakeMemoryStore();
  const auto queued = RunSmall(config, {.until = 5, .save_to = "5", .store = store.get()});
  for (size_t step : {0, 1, 2}) EXPECT_EQ(plain[step].loss, queued[step].loss) << step;
  EXPECT_NE(plain[3].loss, queued[3].loss) << "steps 1 and 2 filled the queue";
  RunSmall(config, {.until = 4, .save_to = "4", .store = store.get()});
  const at::Tensor older = TensorOf(*store, "4", "queue/features"),
                   newer = TensorOf(*store, "5", "queue/features");
  ASSERT_EQ(newer.sizes(), at::IntArrayRef({2, 32, 24}));
  EXPECT_TRUE(newer.narrow(1, 16, 16).equal(older.narrow(1, 0, 16)));
  EXPECT_NEAR(newer.norm(2, {2}).min().item<double>(), 1, 1e-5);
}

TEST(TrainSession, FrozenPrototypesDoNotMove) {
  TrainConfig config = SmallConfig();
  config.swav.freeze_prototypes_steps = 3;
  const auto store = MakeMemoryStore();
  for (const int64_t steps : {1, 3, 4}) {
    RunSmall(config, {.until = steps, .save_to = std::to_string(steps), .store = store.get()});
  }
  const std::string name = "prototypes.weight";
  const at::Tensor first = TensorOf(*store, "1", name), third = TensorOf(*store, "3", name);
  // Each step normalises the rows again, which may move a last bit.
  EXPECT_LT((first - third).abs().max().item<double>(), 1e-6);
  EXPECT_EQ(TensorOf(*store, "3", "momentum/" + name).abs().max().item<double>(), 0);
  EXPECT_GT((first - TensorOf(*store, "4", name)).abs().max().item<double>(), 1e-6);
}

TEST(TrainSession, StopVoteIsSticky) {
  const TrainConfig config = SmallConfig();
  ASSERT_OK_AND_ASSIGN(const auto session, TrainSession::Create(config, {}));
  ASSERT_OK_AND_ASSIGN(const StepReport before, session->Step(SmallBatch(config, 0, 0, 1)));
  EXPECT_FALSE(before.stop_requested);
  session->RequestStop();
  for (const int64_t step : {1, 2}) {
    ASSERT_OK_AND_ASSIGN(const StepReport after, session->Step(SmallBatch(config, step, 0, 1)));
    EXPECT_TRUE(after.stop_requested);
    EXPECT_FALSE(after.skipped);
  }
}

TEST(TrainSession, RefusesWrongBatches) {
  const TrainConfig config = SmallConfig();
  ASSERT_OK_AND_ASSIGN(const auto session, TrainSession::Create(config, {}));
  const Batch good = SmallBatch(config, 0, 0, 1);
  const auto refused = [&](const std::function<void(Batch&)>& spoil, const std::string& text) {
    Batch bad = good;
    spoil(bad);
    EXPECT_THAT(session->Step(bad), FailsWith(kInvalid, reason::kInvalidArgument, text));
  };
  refused([](Batch& b) { b.step = 1; }, "of step 1, the next step is 0");
  refused([](Batch& b) { b.crops.pop_back(); }, "1 crop groups, not 2");
  refused([](Batch& b) { b.crops.clear(); }, "no crops");
  refused([](Batch& b) { b.crops[0].pixels = std::string(b.crops[0].pixels.size() - 1, 'x'); },
          "bytes, not");
  refused([](Batch& b) { std::swap(b.crops[0], b.crops[1]); },
          "crop group 0 is 2 views x 16 samples x 16");
  refused([](Batch& b) { b.crops[1].views = -2; }, "-2 views");
  refused([](Batch& b) { b.labels.pop_back(); }, "15 labels for 16 samples");
  EXPECT_THAT(session->Step(SmallBatch(config, 0, 0, 2)),
              FailsWith(kInvalid, reason::kInvalidArgument, "8 samples"));
  EXPECT_OK(session->Step(good)) << "a refused batch leaves the session usable";
}

TEST(TrainSession, RefusesWrongConfigurations) {
  const auto refused = [&](const std::function<void(TrainConfig&)>& spoil,
                           const std::string& text) {
    TrainConfig config = SmallConfig();
    spoil(config);
    EXPECT_THAT(TrainSession::Create(config, {}),
                FailsWith(kInvalid, reason::kInvalidArgument, text));
  };
  refused([](TrainConfig& c) { c.crops.clear(); }, "no crops");
  refused([](TrainConfig& c) { c.crops = {{1, 32}}; }, "compares at least 2");
  refused([](TrainConfig& c) { c.swav.assign_views = 5; }, "codes for 5 views of 4");
  refused([](TrainConfig& c) { c.swav.temperature = 0; }, "temperature");
  refused([](TrainConfig& c) { c.swav.epsilon = std::nan(""); }, "epsilon");
  refused([](TrainConfig& c) { c.head.prototypes = 1; }, "at least 2");
  refused([](TrainConfig& c) { c.photometry.std = {1, 0, 1}; }, "a std of 0");
  refused([](TrainConfig& c) { c.photometry.blur_probability = 1.5; }, "probability of 1.5");
  refused([](TrainConfig& c) { c.distributed.bucket_bytes = 0; }, "bucket");
  TrainConfig odd = SmallConfig();
  odd.global_batch = 9;
  RankConfig rank;
  rank.world_size = 2;
  EXPECT_THAT(TrainSession::Create(odd, rank),
              FailsWith(kInvalid, reason::kInvalidArgument, "not divisible by 2"));
}

class RestoreTest : public ::testing::Test {
 protected:
  RestoreTest() {
    RunSmall(config_, {.until = 1, .save_to = "good", .store = store_.get()});
    bytes_ = *store_->Get("good/rank-0.safetensors");
  }
  absl::Status RestoreFrom(const std::string& bytes, const TrainConfig& config) {
    SEER_RETURN_IF_ERROR(store_->Put("bad/rank-0.safetensors", bytes));
    SEER_ASSIGN_OR_RETURN(const auto session, TrainSession::Create(config, {}));
    return session->Restore(*store_, "bad");
  }
  const TrainConfig config_ = SmallConfig();
  const std::unique_ptr<ObjectStore> store_ = MakeMemoryStore();
  std::string bytes_;
};

TEST_F(RestoreTest, RefusesEveryTornOrFlippedFile) {
  EXPECT_OK(RestoreFrom(bytes_, config_));
  for (const size_t kept :
       {size_t{0}, size_t{5}, size_t{8}, size_t{300}, bytes_.size() / 2, bytes_.size() - 1}) {
    EXPECT_THAT(RestoreFrom(bytes_.substr(0, kept), config_),
                FailsWith(absl::StatusCode::kDataLoss, reason::kCheckpointCorrupt, ""))
        << kept << " bytes kept";
  }
  const size_t step_digit = bytes_.find("\"step\":\"1\"") + 8;
  ASSERT_LT(step_digit, bytes_.size());
  for (const size_t at : {size_t{0}, size_t{8}, step_digit, bytes_.size() / 2, bytes_.size() - 1}) {
    std::string flipped = bytes_;
    flipped[at] = static_cast<char>(flipped[at] ^ 1);
    EXPECT_THAT(RestoreFrom(flipped, config_),
                FailsWith(absl::StatusCode::kDataLoss, reason::kCheckpointCorrupt, ""))
        << "byte " << at;
  }
}

TEST_F(RestoreTest, NamesTheTensorThatDoesNotFit) {
  TrainConfig other = config_;
  other.head.prototypes = 21;
  EXPECT_THAT(RestoreFrom(bytes_, other),
              FailsWith(absl::StatusCode::kFailedPrecondition, reason::kCheckpointMismatch,
                        "prototypes.weight"));
  other = config_;
  other.swav.queue_length = 32;
  EXPECT_THAT(RestoreFrom(bytes_, other), FailsWith(absl::StatusCode::kFailedPrecondition,
                                                    reason::kCheckpointMismatch, "queue/features"));
  other = config_;
  other.trunk.regnet.se_ratio = 0;
  EXPECT_THAT(RestoreFrom(bytes_, other), FailsWith(absl::StatusCode::kFailedPrecondition,
                                                    reason::kCheckpointMismatch, ".se.fc1"));
}

TEST_F(RestoreTest, RefusesAbsentAndLate) {
  ASSERT_OK_AND_ASSIGN(const auto session, TrainSession::Create(config_, {}));
  EXPECT_THAT(session->Restore(*store_, "none"),
              FailsWith(absl::StatusCode::kNotFound, reason::kCheckpointNotFound, "none"));
  ASSERT_OK(session->Step(SmallBatch(config_, 0, 0, 1)));
  EXPECT_THAT(session->Restore(*store_, "good"),
              seer::testing::StatusIs(absl::StatusCode::kFailedPrecondition));
}

TEST_F(RestoreTest, EvaluationTakesTheTrunk) {
  Batch images = SmallBatch(config_, 0, 0, 1);
  images.crops = {
      {1, 16, 32, std::string(images.crops[0].pixels.bytes().substr(0, 16 * 32 * 32 * 3))}};
  ASSERT_OK_AND_ASSIGN(const auto eval, EvalSession::Create(config_, 1));
  ASSERT_OK(eval->LoadTrunk(*store_, "good"));
  EXPECT_THAT(eval->Knn({{1}, 0.07}),
              FailsWith(absl::StatusCode::kFailedPrecondition, reason::kNoLabels, "empty"));
  for (int i = 0; i < 16; ++i) images.labels[static_cast<size_t>(i)] = i;
  ASSERT_OK(eval->Add(EvalSession::Set::kTrain, images));
  ASSERT_OK(eval->Add(EvalSession::Set::kHeldOut, images));
  ASSERT_OK_AND_ASSIGN(const auto results, eval->Knn({{1, 5}, 0.07}));
  EXPECT_EQ(results[0].top1_ratio, 1) << "every image is its own nearest neighbour";
  EXPECT_EQ(results[1].k, 5);
  images.labels[3] = -1;
  ASSERT_OK(eval->Add(EvalSession::Set::kTrain, images));
  EXPECT_THAT(eval->Knn({{1}, 0.07}),
              FailsWith(absl::StatusCode::kFailedPrecondition, reason::kNoLabels, "unlabelled"));
}

}  // namespace
}  // namespace seer::engine
