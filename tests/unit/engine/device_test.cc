// The device's face where there is no GPU, and what refuses one. tests/gpu has the other half.
#include "engine/device/device.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/error.h"
#include "engine/parallel/communicator.h"
#include "engine/train/config_check.h"
#include "engine/train/phase_clock.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/engine/small_run.h"

namespace seer::engine {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

TEST(Device, TheCpuWorksOnTheHostsOwnBytes) {
  ASSERT_OK_AND_ASSIGN(const auto cpu, OpenDevice("cpu"));
  const std::string bytes = "\x01\x02\xff";
  const at::Tensor staged = cpu->Stage(bytes);
  EXPECT_EQ(staged.const_data_ptr(), bytes.data());
  EXPECT_EQ(staged.scalar_type(), at::kByte);
  EXPECT_EQ(staged[2].item<int>(), 255);
  const at::Tensor host = at::ones({3});
  EXPECT_TRUE(CopyTo(cpu->where(), host).is_same(host));
  const void* const before = host.const_data_ptr();
  MoveTo(cpu->where(), {host});
  EXPECT_EQ(host.const_data_ptr(), before);
  const DeviceMemory memory = cpu->memory();
  EXPECT_GT(memory.used_bytes, 0);
  EXPECT_GE(memory.peak_bytes, memory.used_bytes);
  EXPECT_GT(memory.total_bytes, memory.used_bytes);
  cpu->Wait();
}

TEST(Device, OtherNamesAndGpusThatAreNotThereAreRefusedWithWhatToDo) {
  for (const char* name : {"", "gpu", "cuda", "cuda:", "cuda:-1", "cuda:x", "cuda:1024", "CPU"}) {
    const absl::Status status = OpenDevice(name).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << name;
    EXPECT_THAT(std::string(status.message()), HasSubstr("no device")) << name;
  }
  const absl::Status status = OpenDevice("cuda:1023").status();  // in a build with GPUs too
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("cuda:1023"));
  const auto detail = GetErrorDetail(status);
  ASSERT_TRUE(detail.has_value());
  EXPECT_EQ(detail->field, "device");
  EXPECT_THAT(detail->hint, Not(IsEmpty()));
}

TEST(Device, ASessionOnAGpuThatIsNotThereSaysSo) {
  RankConfig rank;
  rank.device = "cuda:1023";
  EXPECT_THAT(std::string(TrainSession::Create(testing::SmallConfig(), rank).status().message()),
              HasSubstr("cuda:1023"));
}

TEST(Device, NcclWithoutAGpuIsRefusedBeforeAnythingIsBuilt) {
  TrainConfig config = testing::SmallConfig();
  config.distributed.backend = CollectiveBackend::kNccl;
  RankConfig rank;
  const absl::Status status = CheckConfig(config, rank);
  const auto detail = GetErrorDetail(status);
  ASSERT_TRUE(detail.has_value()) << status;
  EXPECT_EQ(detail->field, "distributed.backend");
  rank.device = "cuda:0";
  EXPECT_OK(CheckConfig(config, rank));
  config.distributed.backend = CollectiveBackend::kGloo;
  EXPECT_OK(CheckConfig(config, rank));
}

TEST(Device, AGangTakesTheBackendThatItIsTold) {
  testing::OnRanks(2, [](const RankConfig& rank) {
    const auto join = [&](CollectiveBackend backend) {
      return JoinGang({rank.rank, 2, rank.store_host, rank.store_port, rank.store_listen_fd,
                       rank.store_prefix, 60, backend, at::kCPU});
    };
    try {
      join(CollectiveBackend::kNccl);
      ADD_FAILURE() << "NCCL between CPUs";
    } catch (const CollectiveError& error) {
      EXPECT_THAT(error.what(), HasSubstr("NCCL"));
    }
  });
  testing::OnRanks(2, [](const RankConfig& rank) {
    const auto gang =
        JoinGang({rank.rank, 2, rank.store_host, rank.store_port, rank.store_listen_fd,
                  rank.store_prefix, 60, CollectiveBackend::kGloo, at::kCPU});
    const at::Tensor sum = at::ones({3});
    gang->world().AllReduce(sum);
    EXPECT_TRUE(sum.equal(at::full({3}, 2.0f)));
  });
}

TEST(PhaseClock, GivesEachPhaseItsTimeWithoutWhatWasBlockedInCollectives) {
  const auto cpu = OpenCpu();
  double blocked = 5, first = 1, second = 0;
  PhaseClock clock(*cpu, [&] { return blocked; });
  blocked += 0.25;
  clock.Lap(first);
  clock.Lap(second);
  blocked += 0.5;
  clock.Lap(first);
  EXPECT_EQ(first, 1) << "nothing before Read";
  EXPECT_DOUBLE_EQ(clock.Read(), 0.75);
  EXPECT_LT(first, 1 - 0.7) << "two laps added to what was there, less what they were blocked";
  EXPECT_GE(second, 0);
}

}  // namespace
}  // namespace seer::engine
