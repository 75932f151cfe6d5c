#include "engine/device/device.h"

#include <ATen/ATen.h>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/base/error.h"
#include "engine/device/open_cuda.h"

namespace seer::engine {
namespace {

constexpr int kMostGpus = 1024;  // of one machine

}  // namespace

absl::StatusOr<std::unique_ptr<Device>> OpenDevice(const std::string& name) {
  if (name == "cpu") return OpenCpu();
  absl::string_view text = name;
  int index = -1;
  if (absl::ConsumePrefix(&text, "cuda:") && absl::SimpleAtoi(text, &index) && index >= 0 &&
      index < kMostGpus)
    return OpenCuda(index);
  return Error(absl::StatusCode::kInvalidArgument, reason::kInvalidArgument,
               absl::StrCat("'", name, "' is no device"))
      .Field("device")
      .Hint("cpu, or cuda:0 for the first GPU");
}

at::Tensor CopyTo(at::Device device, const at::Tensor& host) {
  if (device.is_cpu()) return host;
  // Pinned memory is the host allocator's, which keeps it until the copy is done.
  return host.pin_memory().to(device, /*non_blocking=*/true);
}

void MoveTo(at::Device device, const std::vector<at::Tensor>& tensors) {
  for (const at::Tensor& tensor : tensors) {
    if (tensor.device() != device) tensor.set_data(tensor.detach().to(device));
  }
}

}  // namespace seer::engine
