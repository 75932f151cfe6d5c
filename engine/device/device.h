// The device that a rank computes on. Only this folder, the collectives and the kernels' starters
// know which kind it is; everything else asks this face, or works on tensors wherever they are.
// Not thread-safe: of the thread that runs the steps.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace seer::engine {

struct DeviceMemory {
  int64_t used_bytes = 0;   // by tensors now
  int64_t peak_bytes = 0;   // the most since the device was opened
  int64_t total_bytes = 0;  // of the device
};

// Times the device's work, lap by lap. Of one thread.
class Stopwatch {
 public:
  virtual ~Stopwatch() = default;
  // Ends a lap: the work that was issued since the last call, or since the start.
  virtual void Lap() = 0;
  // Seconds of every lap so far. Waits for the work of the last one.
  virtual std::vector<double> Seconds() = 0;
};

class Device {
 public:
  virtual ~Device() = default;
  virtual at::Device where() const = 0;  // for tensors' options

  // Brings a step's crops to the device, [bytes] uint8, without waiting for it: the copy runs
  // beside work that was issued before. On a GPU `bytes` is free on return, and all work that reads
  // the result is issued before the next call. On a CPU the result is `bytes` itself, which must
  // outlive it.
  virtual at::Tensor Stage(absl::string_view bytes) = 0;

  virtual void Wait() = 0;  // until everything that was issued is done
  virtual DeviceMemory memory() const = 0;
  virtual std::unique_ptr<Stopwatch> Start() = 0;
};

std::unique_ptr<Device> OpenCpu();
// `name`: "cpu", or "cuda:<index>" as CUDA_VISIBLE_DEVICES leaves them. A GPU becomes the process's
// current device, and cuDNN measures which of its algorithms suit a shape best: shapes of a job
// never change. INVALID_ARGUMENT: another name, no such GPU, or a build without GPUs.
absl::StatusOr<std::unique_ptr<Device>> OpenDevice(const std::string& name);

// A copy of a tensor in host memory for `device`, that nothing waits for; on a CPU the tensor
// itself. Later changes to `host` do not reach the copy of a GPU.
at::Tensor CopyTo(at::Device device, const at::Tensor& host);

// Takes every tensor of `tensors` to `device`, in place: whoever shares it sees it there. Memory
// order and the wish for a gradient stay.
void MoveTo(at::Device device, const std::vector<at::Tensor>& tensors);

}  // namespace seer::engine
