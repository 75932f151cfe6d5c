#include "worker/agent/devices.h"

#include <unistd.h>

namespace seer::worker {

internal::v1::Hello DescribeMachine(const AgentConfig& config, const std::string& incarnation) {
  char hostname[256] = "";
  ::gethostname(hostname, sizeof(hostname) - 1);
  internal::v1::Hello hello;
  hello.set_worker(config.name);
  hello.set_hostname(hostname);
  hello.set_address(config.address);
  hello.set_devices(config.devices);
  hello.set_device_kind("cpu");
  hello.set_version(SEER_VERSION);
  hello.set_incarnation(incarnation);
  return hello;
}

}  // namespace seer::worker
