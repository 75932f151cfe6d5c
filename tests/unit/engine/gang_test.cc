// Runs of several ranks against runs of one.
#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>

#include "common/base/flight_recorder.h"
#include "common/base/reasons.h"
#include "engine/checkpoint/reader.h"
#include "engine/nn/swav_head.h"
#include "engine/nn/sync_batch_norm.h"
#include "engine/parallel/communicator.h"
#include "engine/train/step.h"
#include "tests/unit/engine/small_run.h"

namespace seer::engine {
namespace {

using testing::CheckpointBytes;
using testing::LargestLossGap;
using testing::OnRanks;
using testing::RunSmall;
using testing::SmallBatch;
using testing::SmallConfig;

std::unique_ptr<Gang> Join(const RankConfig& rank) {
  return JoinGang({rank.rank, rank.world_size, rank.store_host, rank.store_port,
                   rank.store_listen_fd, rank.store_prefix, 60});
}

// fp32 sums in another order differ by 1e-7, and training amplifies that: an activation within it
// of 0 falls on the other side of a ReLU, which moves the gradient of this small network by as much
// as 1e-2 at once, and at learning rate 0.1 the loss by 1e-3 after 20 steps. At 0.005 the gap is
// 1e-5 (three seeds), while the updates move the loss by 3e-2.
TEST(Gang, LossDoesNotDependOnTheWorldSize) {
  TrainConfig config = SmallConfig();
  config.optim.base_lr = config.optim.start_lr = 0.005;
  config.swav.queue_length = 48;
  config.swav.queue_start_step = 4;
  config.swav.freeze_prototypes_steps = 2;
  const auto one = RunSmall(config, {.until = 20});
  const auto two = RunSmall(config, {.world_size = 2, .until = 20});
  const auto four = RunSmall(config, {.world_size = 4, .until = 20});
  EXPECT_LT(LargestLossGap(one, two), 1e-4);
  EXPECT_LT(LargestLossGap(one, four), 1e-4);
  EXPECT_NEAR(two.back().feature_std, one.back().feature_std, 1e-4);
  EXPECT_NEAR(two[5].gradient_norm, one[5].gradient_norm, 1e-3 * one[5].gradient_norm);
  EXPECT_NEAR(four[5].sinkhorn_residual, one[5].sinkhorn_residual, 1e-3);
  EXPECT_EQ(two[0].images, 8);
  // Equal targets for 20 prototypes.
  EXPECT_NEAR(one[5].marginal_kl_nats, std::log(20.0) - one[5].assignment_entropy_nats, 1e-5);
  EXPECT_NEAR(two[5].marginal_kl_nats, one[5].marginal_kl_nats, 1e-4);
  for (const auto& [step, batches] : {std::pair(3, 0), std::pair(4, 1), std::pair(9, 3)}) {
    EXPECT_DOUBLE_EQ(two[static_cast<size_t>(step)].queue_fill_ratio.value(), batches / 3.0);
    EXPECT_EQ(two[static_cast<size_t>(step)].queue_age_steps, batches);
  }
  config.optim.base_lr = config.optim.start_lr = 0;
  config.optim.final_lr = 0;
  EXPECT_GT(LargestLossGap(one, RunSmall(config, {.until = 20})), 1e-2)
      << "the updates do not matter to the loss";
}

TEST(Gang, MarginalsAreComparedWithTheTargets) {
  TrainConfig config = SmallConfig();
  config.swav.power_law_exponent = 0.5;
  const auto reports = RunSmall(config, {.until = 3});
  EXPECT_EQ(reports[2].queue_fill_ratio, std::nullopt);
  // Sinkhorn has brought the marginals to these targets, which are far from equal ones.
  EXPECT_LT(reports[2].marginal_kl_nats, 0.02);
  EXPECT_GT(std::log(20.0) - reports[2].assignment_entropy_nats, 0.05);
}

TEST(Gang, WithoutSyncedNormsTheLossDiffers) {  // the test above can fail
  TrainConfig config = SmallConfig();
  config.distributed.sync_bn_group_size = 1;
  EXPECT_GT(LargestLossGap(RunSmall(config, {.until = 3}),
                           RunSmall(config, {.world_size = 2, .until = 3})),
            1e-4);
}

TEST(Gang, TwoRunsAreBitEqualAndRestoreIsExact) {
  const TrainConfig config = SmallConfig();
  const auto store = MakeMemoryStore();
  RunSmall(config, {.world_size = 2, .until = 5, .save_to = "a", .store = store.get()});
  RunSmall(config, {.world_size = 2, .until = 5, .save_to = "b", .store = store.get()});
  RunSmall(config, {.world_size = 2, .until = 2, .save_to = "half", .store = store.get()});
  RunSmall(
      config,
      {.world_size = 2, .until = 5, .restore_from = "half", .save_to = "c", .store = store.get()});
  EXPECT_EQ(CheckpointBytes(*store, "a"), CheckpointBytes(*store, "b"));
  EXPECT_EQ(CheckpointBytes(*store, "a"), CheckpointBytes(*store, "c"));
}

TEST(Gang, RestoresAnotherWorldSize) {
  TrainConfig config = SmallConfig();
  config.swav.queue_length = 32;
  const auto store = MakeMemoryStore();
  const auto whole = RunSmall(config, {.until = 8});
  RunSmall(config, {.world_size = 2, .until = 4, .save_to = "two", .store = store.get()});
  RunSmall(config, {.world_size = 4,
                    .until = 6,
                    .restore_from = "two",
                    .save_to = "four",
                    .store = store.get()});
  const auto rest = RunSmall(config, {.until = 8, .restore_from = "four", .store = store.get()});
  ASSERT_EQ(rest.size(), 2u);
  EXPECT_NEAR(rest[1].loss, whole[7].loss, 1e-4);
  ASSERT_OK(store->Delete("four/rank-2.safetensors"));
  EXPECT_THAT(ReadCheckpoint(*store, "four"),
              seer::testing::FailsWith(absl::StatusCode::kDataLoss, reason::kCheckpointCorrupt,
                                       "rank-2.safetensors of 4"));
}

TEST(Gang, RunningStatisticsOfACheckpointComeFromOneRank) {
  TrainConfig config = SmallConfig();
  config.distributed.sync_bn_group_size = 1;  // every rank has statistics of its own
  const auto store = MakeMemoryStore();
  RunSmall(config, {.world_size = 2, .until = 2, .save_to = "x", .store = store.get()});
  const std::string other = *store->Get("x/rank-1.safetensors");
  EXPECT_EQ(other.find("running_"), std::string::npos);
  EXPECT_NE(other.find("momentum/"), std::string::npos) << "rank 1 writes its share of the rest";
}

TEST(Gang, OneRanksVoteStopsAllAfterTheSameStep) {
  const TrainConfig config = SmallConfig();
  OnRanks(2, [&](const RankConfig& rank) {
    ASSERT_OK_AND_ASSIGN(const auto session, TrainSession::Create(config, rank));
    for (int64_t step = 0; step < 4; ++step) {
      if (step == 2 && rank.rank == 1) session->RequestStop();
      ASSERT_OK_AND_ASSIGN(const StepReport report,
                           session->Step(SmallBatch(config, step, rank.rank, 2)));
      EXPECT_EQ(report.stop_requested, step >= 2) << "rank " << rank.rank << " step " << step;
    }
  });
}

TEST(Gang, TheFlightRecorderHasEveryRanksCollectivesByTheSameNumbers) {
  const TrainConfig config = SmallConfig();
  std::vector<std::unique_ptr<FlightMemory>> memories(2);
  for (auto& memory : memories) {
    ASSERT_OK_AND_ASSIGN(memory, FlightMemory::Create());
  }
  OnRanks(2, [&](RankConfig rank) {
    ASSERT_OK_AND_ASSIGN(const auto recorder,
                         FlightRecorder::Open(memories[static_cast<size_t>(rank.rank)]->path()));
    rank.flight = recorder.get();
    ASSERT_OK_AND_ASSIGN(const auto session, TrainSession::Create(config, rank));
    const DoingScope computing(recorder.get(), Doing::kCompute);
    for (int64_t step = 0; step < 2; ++step)
      ASSERT_OK(session->Step(SmallBatch(config, step, rank.rank, 2)));
  });
  const FlightView first = memories[0]->Read().value(), second = memories[1]->Read().value();
  std::map<std::string, int64_t> entered;
  for (const FlightView::Group& group : first.groups) {
    EXPECT_EQ(group.first_rank, 0);
    EXPECT_EQ(group.ranks, 2);
    EXPECT_GT(group.bytes, 0);
    EXPECT_EQ(group.completed, group.entered) << group.name << ": the host has waited for all";
    entered[group.name] = group.entered;
  }
  EXPECT_GT(entered["world"], 4);
  EXPECT_GT(entered["norms"], 4);
  ASSERT_EQ(second.groups.size(), first.groups.size());
  for (const FlightView::Group& group : second.groups)
    EXPECT_EQ(group.entered, entered[group.name]) << group.name;
  int waits = 0;
  for (const FlightView::Event& event : second.events)
    waits += event.kind == FlightView::EventKind::kCompleted;
  EXPECT_GT(waits, 4);
}

TEST(Gang, AllLearnOfAnAnnouncementByTheSameStepAndOnce) {
  const TrainConfig config = SmallConfig();
  OnRanks(2, [&](const RankConfig& rank) {
    ASSERT_OK_AND_ASSIGN(const auto session, TrainSession::Create(config, rank));
    for (int64_t step = 0; step < 5; ++step) {
      if (rank.rank == 0) {
        if (step == 1) session->Announce((int64_t{1} << 40) + 1);  // exact in the all-reduce
        if (step == 2) session->Announce(7);                       // an older one
        if (step == 3) session->Announce((int64_t{1} << 40) + 2);
      }
      ASSERT_OK_AND_ASSIGN(const StepReport report,
                           session->Step(SmallBatch(config, step, rank.rank, 2)));
      EXPECT_EQ(report.announced, step == 1   ? (int64_t{1} << 40) + 1
                                  : step == 3 ? (int64_t{1} << 40) + 2
                                              : 0)
          << "rank " << rank.rank << " step " << step;
    }
  });
}

class RefusedStep : public ::testing::TestWithParam<OptimizerKind> {};

TEST_P(RefusedStep, OneRanksNanLeavesNoTraceOnAny) {
  TrainConfig config = SmallConfig();
  config.optim.kind = GetParam();
  config.optim.clip_norm = 0.5;
  config.optim.ema_decay = 0.5;
  OnRanks(2, [&](const RankConfig& rank) {
    const std::unique_ptr<Gang> gang = Join(rank);
    ASSERT_OK_AND_ASSIGN(const auto step, TrainStep::Create(config, *gang));
    step->Run(SmallBatch(config, 0, rank.rank, 2));
    std::vector<at::Tensor> before;
    std::vector<StateTensor> state = step->SharedState();
    for (const StateTensor& b : step->Buffers()) state.push_back(b);
    for (const StateTensor& t : state) before.push_back(t.held.clone());
    at::Tensor weight = state[3].held;
    const at::Tensor good = weight.clone();
    if (rank.rank == 1) weight.view(-1)[0] = std::nanf("");
    const StepReport refused = step->Run(SmallBatch(config, 1, rank.rank, 2));
    EXPECT_TRUE(refused.skipped) << rank.rank;
    EXPECT_FALSE(rank.rank == 1 && refused.own_finite);
    weight.copy_(good);
    for (size_t i = 0; i < state.size(); ++i) {
      // Normalised as each step begins.
      if (state[i].name == "prototypes.weight") {
        NormaliseRows(before[i]);
        EXPECT_TRUE(state[i].held.allclose(before[i], 0, 1e-6));
      } else {
        EXPECT_TRUE(state[i].held.equal(before[i])) << state[i].name;
      }
    }
    const StepReport next = step->Run(SmallBatch(config, 2, rank.rank, 2));
    EXPECT_FALSE(next.skipped);
    EXPECT_TRUE(std::isfinite(next.loss));
  });
}

INSTANTIATE_TEST_SUITE_P(Kinds, RefusedStep,
                         ::testing::Values(OptimizerKind::kSgd, OptimizerKind::kLars,
                                           OptimizerKind::kAdamW),
                         [](const auto& info) { return std::string(OptimizerName(info.param)); });

TEST(Gang, NormsCountUnevenBatchesExactly) {
  const at::Tensor all = at::randn({12, 5, 3, 3}, at::kDouble).mul(2).add(3).to(at::kFloat);
  const at::Tensor upstream = at::randn({12, 5, 3, 3});
  const Initializer init(1);
  const auto solo = MakeSoloCommunicator();
  const auto run = [&](Communicator& group, const at::Tensor& x, const at::Tensor& dy,
                       NormMemory& memory) {
    const SyncBatchNorm norm("n", 5, init, group);
    Pass pass{PassMode::kTrain, &memory};
    at::Tensor input = x.detach().clone().requires_grad_();
    const at::Tensor y = norm.Forward(input, pass);
    torch::autograd::backward({y}, {dy});
    return std::pair(y.detach(), input.grad());
  };
  NormMemory expected;
  const auto [y, dx] = run(*solo, all, upstream, expected);
  OnRanks(3, [&](const RankConfig& rank) {
    const std::unique_ptr<Gang> gang = Join(rank);
    const int64_t first[] = {0, 1, 6}, count[] = {1, 5, 6};
    const auto cut = [&](const at::Tensor& t) {
      return t.narrow(0, first[rank.rank], count[rank.rank]);
    };
    NormMemory memory;
    const auto [own_y, own_dx] = run(gang->Group(0, "norms"), cut(all), cut(upstream), memory);
    EXPECT_TRUE(own_y.allclose(cut(y), 1e-5, 1e-5));
    EXPECT_TRUE(own_dx.allclose(cut(dx), 1e-4, 1e-5));
    EXPECT_EQ(memory.entries[0].count.item<double>(), 12 * 9);
    EXPECT_TRUE(memory.entries[0].variance.allclose(expected.entries[0].variance, 1e-5, 1e-6));
  });
}

TEST(Gang, AMissingRankIsUnavailable) {
  TrainConfig config = SmallConfig();
  config.distributed.collective_timeout_seconds = 1;
  RankConfig rank;
  rank.world_size = 2;
  int port = 0;
  rank.store_listen_fd = testing::ListenOnFreePort(port);
  rank.store_port = port;
  EXPECT_THAT(
      TrainSession::Create(config, rank),
      seer::testing::FailsWith(absl::StatusCode::kUnavailable, reason::kCollectiveFailed, ""));
}

}  // namespace
}  // namespace seer::engine
