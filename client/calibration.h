// What a machine's steps cost, as `seer job plan --calibrate` measured it: a JSON file, read by
// every later plan, here or on another machine.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/interrupt.h"
#include "engine/arch/cost_model.h"
#include "seer/v1/job_spec.pb.h"

namespace seer::client {

struct Calibration {
  std::string file;  // that it was read from
  std::string host, cpu;
  std::string device;  // "cpu" or "cuda:<index>"
  int threads = 0;
  std::string date;  // RFC 3339, UTC
  struct Precision {
    engine::CostConstants constants;
    engine::ModelError error;  // on steps that were not fitted
  };
  std::map<std::string, Precision> precisions;  // "fp32", "bf16", …
  engine::LinkCost link;

  bool gpu() const { return device != "cpu"; }
  // Null: that precision was not measured. TF32 on a CPU is FP32.
  const Precision* Find(v1::PrecisionMode mode) const;
};

// ${XDG_CONFIG_HOME:-~/.config}/seer/calibration.json, or beside ${SEER_CONFIG}.
std::string CalibrationPath();

// NOT_FOUND: no such file. INVALID_ARGUMENT: it is damaged; names it and says what to do.
absl::StatusOr<Calibration> LoadCalibration(const std::string& path);

// Fits the cost model to what worker/trainer/calibrate printed. Returns the file's text, which
// keeps the measured steps with what the model makes of them. INVALID_ARGUMENT: not such a text, or
// too few steps.
absl::StatusOr<std::string> FitCalibration(const std::string& measured, absl::Time now);

struct MeasureOptions {
  std::string trainer;  // the program; empty: seer-trainer beside this one
  int threads = 0;      // 0: one for each of the machine's cores
  std::string device = "cpu";
  bool quick = false;
};
// Runs the trainer, whose progress goes to stderr, and returns what it printed. NOT_FOUND: no such
// program. INTERNAL: it failed. CANCELLED: Ctrl-C; it is gone then.
absl::StatusOr<std::string> MeasureThisMachine(const MeasureOptions& options, Interrupt& interrupt);

}  // namespace seer::client
