#include <unistd.h>

#include <fstream>
#include <string>
#include <vector>

#include <ATen/ATen.h>

#include "common/base/clock.h"
#include "engine/device/device.h"

namespace seer::engine {
namespace {

class HostStopwatch final : public Stopwatch {
 public:
  void Lap() override {
    const absl::Duration now = Clock::Real().Steady();
    laps_.push_back(absl::ToDoubleSeconds(now - last_));
    last_ = now;
  }
  std::vector<double> Seconds() override { return laps_; }

 private:
  absl::Duration last_ = Clock::Real().Steady();
  std::vector<double> laps_;
};

// Bytes of a line like "VmHWM:  123 kB" of /proc/self/status; 0: there is none.
int64_t StatusBytes(const std::string& key) {
  std::ifstream status("/proc/self/status");
  std::string word;
  while (status >> word) {
    int64_t kilobytes = 0;
    if (word == key && status >> kilobytes) return kilobytes * 1024;
  }
  return 0;
}

// The process's own memory: work is done when it is issued.
class Cpu final : public Device {
 public:
  at::Device where() const override { return at::kCPU; }
  at::Tensor Stage(absl::string_view bytes) override {
    return at::from_blob(const_cast<char*>(bytes.data()), {static_cast<int64_t>(bytes.size())},
                         at::kByte);
  }
  void Wait() override {}
  DeviceMemory memory() const override {
    return {StatusBytes("VmRSS:"), StatusBytes("VmHWM:"),
            static_cast<int64_t>(sysconf(_SC_PHYS_PAGES)) * sysconf(_SC_PAGESIZE)};
  }
  std::unique_ptr<Stopwatch> Start() override { return std::make_unique<HostStopwatch>(); }
};

}  // namespace

std::unique_ptr<Device> OpenCpu() { return std::make_unique<Cpu>(); }

}  // namespace seer::engine
