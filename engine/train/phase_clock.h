// Splits a step's time into its phases by the device's own clock. Not thread-safe.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "engine/device/device.h"

namespace seer::engine {

class PhaseClock {
 public:
  // Starts now. `blocked`: host seconds spent blocked in collectives so far, which are no phase's.
  PhaseClock(Device& device, std::function<double()> blocked)
      : watch_(device.Start()), blocked_(std::move(blocked)), blocked_at_last_lap_(blocked_()) {}

  // The phase that ends here is `seconds`, which must live until Read.
  void Lap(double& seconds) {
    watch_->Lap();
    const double blocked = blocked_();
    laps_.push_back({&seconds, blocked - blocked_at_last_lap_});
    blocked_at_last_lap_ = blocked;
  }

  // Adds every lap to its phase, and returns what was spent blocked in all of them. Once; waits for
  // the device.
  double Read() {
    const std::vector<double> seconds = watch_->Seconds();
    double total = 0;
    for (size_t i = 0; i < laps_.size(); ++i) {
      *laps_[i].phase += seconds[i] - laps_[i].blocked;
      total += laps_[i].blocked;
    }
    return total;
  }

 private:
  struct Ended {
    double* phase = nullptr;
    double blocked = 0;
  };

  const std::unique_ptr<Stopwatch> watch_;
  const std::function<double()> blocked_;
  double blocked_at_last_lap_;
  std::vector<Ended> laps_;
};

}  // namespace seer::engine
