#include "worker/agent/devices.h"

#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "common/base/process.h"

namespace seer::worker {

internal::v1::Hello DescribeMachine(const AgentConfig& config, const std::string& incarnation) {
  internal::v1::Hello hello;
  hello.set_worker(config.name);
  hello.set_hostname(HostName());
  hello.set_address(config.address);
  hello.set_devices(config.devices);
  hello.set_device_kind(config.device_kind);
  hello.set_version(SEER_VERSION);
  hello.set_incarnation(incarnation);
  hello.mutable_labels()->insert(config.labels.begin(), config.labels.end());
  return hello;
}

std::string VisibleDevices() {
  const char* const visible = std::getenv("CUDA_VISIBLE_DEVICES");
  return visible == nullptr ? "" : visible;
}

std::string DeviceName(const AgentConfig& config, int device) {
  return config.device_kind == "cpu" ? "cpu" : absl::StrCat(config.device_kind, ":", device);
}

}  // namespace seer::worker
