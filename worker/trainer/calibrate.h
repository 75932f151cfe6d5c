// `seer-trainer --calibrate`: measures what the cost model of `seer job plan` is fitted to, with
// real steps of small networks and a gang of two processes on this machine.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/session/config.h"

namespace seer::worker {

struct CalibrateOptions {
  int threads = 1;
  std::string device = "cpu";  // or "cuda:<index>": as of a rank
  bool quick = false;          // few and tiny steps: seconds instead of minutes, and less exact
};

// One network and batch; its shortest step counts.
struct CalibrationCase {
  std::string preset;
  std::vector<engine::CropGroup> crops;
  int images = 1;
  engine::Precision precision = engine::Precision::kFp32;
  bool recompute = false;  // every segment
  bool held_out = false;   // not fitted, but predicted, to tell the model's error
};
std::vector<CalibrationCase> CalibrationCases(const CalibrateOptions& options);

// JSON for client/calibration: machine, steps with their seconds, all-reduces with theirs. Forks,
// so to be called before there are threads. What is being measured goes to stderr, a line a case.
absl::StatusOr<std::string> Calibrate(const CalibrateOptions& options);

}  // namespace seer::worker
