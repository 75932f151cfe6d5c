// Collectives of NCCL. A rank is a process here, as in production; two on one GPU take NCCL_HOSTID
// for two machines, for NCCL refuses a device that it sees twice.
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/parallel/communicator.h"
#include "engine/session/train_session.h"
#include "tests/gpu/gpu.h"
#include "tests/unit/engine/small_run.h"

namespace seer::engine {
namespace {

using testing::SmallBatch;
using testing::SmallConfig;

constexpr int kRanks = 2;
constexpr char kRankVariable[] = "SEER_TEST_NCCL_RANK", kPortVariable[] = "SEER_TEST_NCCL_PORT";

// Runs this program's test `name` once a rank. The listening socket goes to rank 0 by inheritance.
void RunOnRanks(const std::string& name) {
  int port = 0;
  const int listening = testing::ListenOnFreePort(port);
  std::vector<pid_t> ranks;
  for (int rank = 0; rank < kRanks; ++rank) {
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      setenv(kRankVariable, absl::StrCat(rank, ",", listening).c_str(), 1);
      setenv(kPortVariable, absl::StrCat(port).c_str(), 1);
      setenv("NCCL_HOSTID", absl::StrCat("rank-", rank).c_str(), 1);
      const std::string filter = absl::StrCat("--gtest_filter=", name);
      execl("/proc/self/exe", "nccl-rank", filter.c_str(), nullptr);
      _exit(127);
    }
    ranks.push_back(child);
  }
  close(listening);
  for (const pid_t rank : ranks) {
    int status = 0;
    ASSERT_EQ(waitpid(rank, &status, 0), rank);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << "status " << status;
  }
}

// The place of this process in the gang; of a process that is no rank: skips.
class NcclRank : public ::testing::Test {
 protected:
  void SetUp() override {
    const char* const place = getenv(kRankVariable);
    if (place == nullptr) GTEST_SKIP() << "run by the test of the gang";
    const std::string text = place;
    rank_.rank = std::stoi(text);
    rank_.world_size = kRanks;
    rank_.store_port = std::stoi(getenv(kPortVariable));
    rank_.store_listen_fd = rank_.rank == 0 ? std::stoi(text.substr(text.find(',') + 1)) : -1;
    rank_.store_prefix = "test";
    rank_.device = testing::kGpu;
  }
  RankConfig rank_;
};

TEST_F(NcclRank, Collectives) {
  const auto gpu = testing::OpenGpu();
  ASSERT_NE(gpu, nullptr);
  const auto gang =
      JoinGang({rank_.rank, kRanks, rank_.store_host, rank_.store_port, rank_.store_listen_fd,
                rank_.store_prefix, 60, CollectiveBackend::kAuto, gpu->where()});
  for (Communicator* c : {&gang->world(), &gang->Group(0, "norms"), &gang->Group(0, "weights")}) {
    EXPECT_EQ(c->size(), kRanks);
    EXPECT_EQ(c->rank(), rank_.rank);
    for (const auto type : {at::kFloat, at::kDouble, at::kLong}) {
      const auto options = at::TensorOptions(type).device(gpu->where());
      const double mine = rank_.rank + 1;
      at::Tensor sum = at::full({1000}, mine, options), top = sum.clone();
      c->AllReduce(sum);
      EXPECT_TRUE(sum.eq(3).all().item<bool>());
      c->AllReduceMax(top);
      EXPECT_TRUE(top.eq(2).all().item<bool>());
      const at::Tensor all = c->AllGather(at::full({2, 3}, mine, options));
      EXPECT_EQ(all.sizes(), (at::IntArrayRef{4, 3}));
      EXPECT_TRUE(all.narrow(0, 0, 2).eq(1).all().item<bool>());
      EXPECT_TRUE(all.narrow(0, 2, 2).eq(2).all().item<bool>());
      at::Tensor gathered = at::zeros({2 * 5}, options), part = at::zeros({5}, options);
      c->AllGatherAsync(gathered, at::full({5}, mine, options))->Wait();
      EXPECT_TRUE(gathered.narrow(0, 5, 5).eq(2).all().item<bool>());
      c->ReduceScatterAsync(part, (at::arange(10, options) * mine).to(type))->Wait();
      EXPECT_TRUE(part.equal(at::arange(5 * rank_.rank, 5 * rank_.rank + 5, options) * 3));
      at::Tensor told = at::full({7}, mine, options);
      c->Broadcast(told, 1);
      EXPECT_TRUE(told.eq(2).all().item<bool>());
    }
    c->Barrier();
  }
  EXPECT_EQ(gang->Across(0, "replicas").size(), 1);
  // Two in flight at a time, in two groups, waited for out of order.
  const auto options = at::TensorOptions(at::kFloat).device(gpu->where());
  at::Tensor a = at::ones({1 << 20}, options), b = at::ones({1 << 20}, options);
  const auto first = gang->world().AllReduceAsync(a);
  const auto second = gang->Group(0, "norms").AllReduceAsync(b);
  second->Wait();
  first->Wait();
  EXPECT_TRUE((a + b).eq(4).all().item<bool>());
}

// Both ranks' steps of `config` against one rank's on the CPU, with all samples.
void ExpectTheStepsOfOneRank(const TrainConfig& config, const RankConfig& rank) {
  RankConfig alone;
  ASSERT_OK_AND_ASSIGN(const auto session, TrainSession::Create(config, rank));
  ASSERT_OK_AND_ASSIGN(const auto single, TrainSession::Create(config, alone));
  for (int64_t step = 0; step < 3; ++step) {
    ASSERT_OK_AND_ASSIGN(const StepReport report,
                         session->Step(SmallBatch(config, step, rank.rank, kRanks)));
    ASSERT_OK_AND_ASSIGN(const StepReport whole, single->Step(SmallBatch(config, step, 0, 1)));
    EXPECT_NEAR(report.loss, whole.loss, (step == 0 ? 1e-4 : 1e-2) * whole.loss) << step;
  }
}

TEST_F(NcclRank, StepsReplicated) { ExpectTheStepsOfOneRank(SmallConfig(), rank_); }

TEST_F(NcclRank, StepsSharded) {
  TrainConfig config = SmallConfig();
  config.distributed.shard_group_size = 0;
  ExpectTheStepsOfOneRank(config, rank_);
}

TEST_F(NcclRank, StepsOverGloo) {
  TrainConfig config = SmallConfig();
  config.distributed.backend = CollectiveBackend::kGloo;
  ExpectTheStepsOfOneRank(config, rank_);
}

TEST(NcclGang, EveryCollectiveDoesWhatItSays) { RunOnRanks("NcclRank.Collectives"); }
TEST(NcclGang, TwoRanksOnGpusAreOneRankOnTheCpu) { RunOnRanks("NcclRank.StepsReplicated"); }
TEST(NcclGang, ShardedTheyAreToo) { RunOnRanks("NcclRank.StepsSharded"); }
TEST(NcclGang, TheConfigurationTakesGlooInstead) { RunOnRanks("NcclRank.StepsOverGloo"); }

}  // namespace
}  // namespace seer::engine
