#include <array>
#include <vector>

#include <ATen/ATen.h>
#include <ATen/Context.h>
#include <ATen/cuda/CUDAContext.h>
#include <ATen/cuda/CUDAEvent.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "engine/device/open_cuda.h"

namespace seer::engine {
namespace {

using at::cuda::CUDAEvent;
using c10::cuda::CUDAStream;
using c10::cuda::getCurrentCUDAStream;

class EventStopwatch final : public Stopwatch {
 public:
  EventStopwatch() { Mark(); }
  void Lap() override { Mark(); }
  std::vector<double> Seconds() override {
    events_.back().synchronize();
    std::vector<double> laps;
    for (size_t i = 1; i < events_.size(); ++i)
      laps.push_back(events_[i - 1].elapsed_time(events_[i]) / 1000.0);
    return laps;
  }

 private:
  void Mark() { events_.emplace_back(cudaEventDefault).record(getCurrentCUDAStream()); }
  std::vector<CUDAEvent> events_;
};

// Copies to the device through pinned memory, beside the computation. Two of everything: while the
// device reads one copy, the next is on its way.
class Stager {
 public:
  explicit Stager(at::Device device)
      : device_(device),
        copies_(c10::cuda::getStreamFromPool(/*isHighPriority=*/true, device.index())) {}

  at::Tensor Stage(absl::string_view bytes) {
    const auto size = static_cast<int64_t>(bytes.size());
    const CUDAStream compute = getCurrentCUDAStream();
    // All that reads the last result has been issued, or will not be.
    slots_[1 - turn_].read.record(compute);
    Slot& slot = slots_[turn_];
    turn_ = 1 - turn_;
    if (!slot.there.defined() || slot.there.numel() < size) {
      slot.host = at::empty({size}, at::TensorOptions(at::kByte).pinned_memory(true));
      slot.there = at::empty({size}, at::TensorOptions(at::kByte).device(device_));
      slot.read.record(compute);  // its memory may have been another tensor's until now
    } else {
      slot.copied.synchronize();  // the last copy out of this pinned memory, of a step ago
    }
    const at::Tensor host = slot.host.narrow(0, 0, size), there = slot.there.narrow(0, 0, size);
    host.copy_(at::from_blob(const_cast<char*>(bytes.data()), {size}, at::kByte));
    slot.read.block(copies_);
    {
      const c10::cuda::CUDAStreamGuard guard(copies_);
      there.copy_(host, /*non_blocking=*/true);
    }
    slot.copied.record(copies_);
    slot.copied.block(compute);
    return there;
  }

 private:
  struct Slot {
    at::Tensor host, there;  // uint8, as large as the largest so far
    CUDAEvent copied, read;
  };

  const at::Device device_;
  const CUDAStream copies_;
  std::array<Slot, 2> slots_;
  size_t turn_ = 0;
};

class Cuda final : public Device {
 public:
  explicit Cuda(int index)
      : device_(at::kCUDA, static_cast<c10::DeviceIndex>(index)), stager_(device_) {}
  at::Device where() const override { return device_; }
  at::Tensor Stage(absl::string_view bytes) override { return stager_.Stage(bytes); }
  void Wait() override { c10::cuda::device_synchronize(); }
  DeviceMemory memory() const override {
    const auto stats = c10::cuda::CUDACachingAllocator::getDeviceStats(device_.index());
    const auto& bytes =
        stats.allocated_bytes[static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE)];
    return {bytes.current, bytes.peak,
            static_cast<int64_t>(at::cuda::getDeviceProperties(device_.index())->totalGlobalMem)};
  }
  std::unique_ptr<Stopwatch> Start() override { return std::make_unique<EventStopwatch>(); }

 private:
  const at::Device device_;
  Stager stager_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Device>> OpenCuda(int index) {
  const int count = c10::cuda::device_count();
  if (index >= count) {
    return Error(absl::StatusCode::kInvalidArgument, reason::kInvalidArgument,
                 absl::StrCat("the device is cuda:", index, ", but CUDA shows ", count, " GPUs"))
        .Field("device")
        .Hint(
            "nvidia-smi lists the machine's GPUs and the driver's version; CUDA_VISIBLE_DEVICES "
            "may hide some");
  }
  c10::cuda::set_device(static_cast<c10::DeviceIndex>(index));
  at::globalContext().setBenchmarkCuDNN(true);
  return std::make_unique<Cuda>(index);
}

}  // namespace seer::engine
