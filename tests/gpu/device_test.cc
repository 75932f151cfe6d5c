// The device's face on a GPU: what is copied, timed and counted.
#include "engine/device/device.h"

#include <gmock/gmock.h>

#include <numeric>

#include "tests/gpu/gpu.h"

namespace seer::engine {
namespace {

using testing::OpenGpu;

TEST(GpuDevice, StagedBytesArriveThoughTheBuffersAreUsedAgainAndAgain) {
  const auto gpu = OpenGpu();
  ASSERT_NE(gpu, nullptr);
  std::vector<at::Tensor> sums;
  std::vector<int64_t> expected;
  for (int turn = 0; turn < 40; ++turn) {
    // Sizes differ from call to call, as resolutions do; the work that reads is slow.
    std::string bytes(static_cast<size_t>((turn % 3 + 1) * 3'000'001), static_cast<char>(turn));
    const at::Tensor there = gpu->Stage(bytes);
    bytes.assign(bytes.size(), '\xff');  // free on return
    EXPECT_TRUE(there.is_cuda());
    at::Tensor slow = at::ones({1024, 1024}, there.options().dtype(at::kFloat));
    for (int i = 0; i < 20; ++i) slow = slow.matmul(slow).clamp_(0, 1);
    sums.push_back(there.to(at::kLong).sum() + slow.isnan().sum());
    expected.push_back(turn * there.numel());
  }
  for (size_t turn = 0; turn < sums.size(); ++turn)
    EXPECT_EQ(sums[turn].item<int64_t>(), expected[turn]) << turn;
}

TEST(GpuDevice, CopiesDoNotSeeLaterChangesOfTheHost) {
  const auto gpu = OpenGpu();
  ASSERT_NE(gpu, nullptr);
  const at::Tensor host = at::arange(1'000'000, at::kLong);
  const at::Tensor there = CopyTo(gpu->where(), host);
  host.zero_();
  EXPECT_EQ(there.sum().item<int64_t>(), int64_t{999'999} * 500'000);
}

TEST(GpuDevice, MovedTensorsAreSharedAndKeepTheirOrder) {
  const auto gpu = OpenGpu();
  ASSERT_NE(gpu, nullptr);
  const at::Tensor weight =
      testing::Random({8, 3, 5, 5}, 1).contiguous(at::MemoryFormat::ChannelsLast).requires_grad_();
  const at::Tensor before = weight.detach().clone(), shared = weight;
  MoveTo(gpu->where(), {weight});
  EXPECT_TRUE(shared.is_cuda());
  EXPECT_TRUE(shared.requires_grad());
  EXPECT_TRUE(shared.is_leaf());
  EXPECT_TRUE(shared.is_contiguous(at::MemoryFormat::ChannelsLast));
  EXPECT_TRUE(shared.detach().cpu().equal(before));
}

TEST(GpuDevice, TimesWhatTheGpuDoesNotWhatTheHostIssues) {
  const auto gpu = OpenGpu();
  ASSERT_NE(gpu, nullptr);
  at::Tensor x = at::ones({4096, 4096}, at::TensorOptions(at::kFloat).device(gpu->where()));
  gpu->Wait();
  const auto watch = gpu->Start();
  for (int i = 0; i < 50; ++i) x = x.matmul(x).clamp_(0, 1);
  watch->Lap();
  watch->Lap();
  const std::vector<double> seconds = watch->Seconds();
  ASSERT_EQ(seconds.size(), 2u);
  EXPECT_GT(seconds[0], 50 * 2 * 4096.0 * 4096 * 4096 / 1e15) << "no GPU is that fast";
  EXPECT_LT(seconds[1], seconds[0] / 10);
}

TEST(GpuDevice, CountsItsMemory) {
  const auto gpu = OpenGpu();
  ASSERT_NE(gpu, nullptr);
  const DeviceMemory before = gpu->memory();
  {
    const at::Tensor large =
        at::empty({64 << 20}, at::TensorOptions(at::kByte).device(gpu->where()));
    EXPECT_GE(gpu->memory().used_bytes, before.used_bytes + (64 << 20));
  }
  const DeviceMemory after = gpu->memory();
  EXPECT_EQ(after.used_bytes, before.used_bytes);
  EXPECT_GE(after.peak_bytes, before.used_bytes + (64 << 20));
  EXPECT_GT(after.total_bytes, int64_t{1} << 30);
}

TEST(GpuDevice, AGpuThatIsNotThereIsNamed) {
  const auto device = OpenDevice("cuda:1000");
  EXPECT_EQ(device.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(device.status().message()), ::testing::HasSubstr("cuda:1000"));
}

}  // namespace
}  // namespace seer::engine
