#include "client/calibration.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/context_file.h"
#include "client/daemon.h"
#include "client/launch/program.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/spec/trunk.h"

namespace seer::client {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr char kAgain[] = "make a new one: seer job plan --calibrate";

absl::Status Damaged(const std::string& source, absl::string_view what) {
  return Error(absl::StatusCode::kInvalidArgument, reason::kInvalidArgument,
               absl::StrCat(source, " is no calibration: ", what))
      .Hint(kAgain);
}

double Number(const json& object, const char* key) {
  const double value = object.at(key).get<double>();
  if (!std::isfinite(value) || value < 0) throw std::range_error(absl::StrCat(key, " is negative"));
  return value;
}

// What the trainer measured, in the cost model's terms. Throws what reading JSON throws.
absl::StatusOr<engine::StepSample> ToSample(const json& step) {
  engine::NetworkShape shape;
  v1::TrunkSpec trunk;
  trunk.set_preset(step.at("preset").get<std::string>());
  trunk.set_stem_stride(2);
  SEER_ASSIGN_OR_RETURN(shape.trunk, ToTrunkConfig(trunk));
  const engine::NetworkShape head;  // as engine::HeadConfig: one hidden layer
  shape.hidden = {2048};
  shape.output_dim = head.output_dim;
  shape.prototypes = {step.at("prototypes").get<int64_t>()};
  for (const json& crops : step.at("crops"))
    shape.crops.push_back({crops.at(0).get<int>(), crops.at(1).get<int>()});
  if (shape.crops.empty()) throw std::range_error("a step without crops");
  SEER_ASSIGN_OR_RETURN(const engine::NetworkCost cost, engine::CountNetwork(shape));
  engine::StepShape rank;
  rank.images = step.at("images").get<int64_t>();
  const std::string precision = step.at("precision").get<std::string>();
  rank.bytes_per_activation = precision == "bf16" || precision == "fp16" ? 2 : 4;
  const std::vector<bool> recompute(cost.resolutions.front().trunk.segments.size(),
                                    step.at("recompute").get<bool>());
  engine::StepSample sample;
  sample.work = engine::CountWork(cost, rank, recompute);
  sample.network_seconds = Number(step, "network_seconds");
  sample.augment_seconds = Number(step, "augment_seconds");
  sample.optimizer_seconds = Number(step, "optimizer_seconds");
  return sample;
}

struct Samples {
  std::vector<engine::StepSample> fitted, held_out;
};

absl::StatusOr<json> Fit(json measured, absl::Time now) {
  std::map<std::string, Samples> by_precision;
  for (const json& step : measured.at("steps")) {
    SEER_ASSIGN_OR_RETURN(engine::StepSample sample, ToSample(step));
    Samples& samples = by_precision[step.at("precision").get<std::string>()];
    (step.at("held_out").get<bool>() ? samples.held_out : samples.fitted)
        .push_back(std::move(sample));
  }
  json file = {{"host", measured.at("host").get<std::string>()},
               {"cpu", measured.at("cpu").get<std::string>()},
               {"device", measured.at("device").get<std::string>()},
               {"threads", measured.at("threads").get<int>()},
               {"date", absl::FormatTime(absl::RFC3339_sec, now, absl::UTCTimeZone())},
               {"precisions", json::object()}};
  std::map<std::string, engine::CostConstants> fits;
  for (const auto& [name, samples] : by_precision) {
    SEER_ASSIGN_OR_RETURN(fits[name], engine::FitCosts(samples.fitted));
    if (samples.held_out.empty()) throw std::range_error("no steps to tell the error by");
    const engine::ModelError error = engine::MeasureError(fits[name], samples.held_out);
    json seconds = json::object();
    for (size_t k = 0; k < engine::kWorkKinds; ++k)
      seconds[engine::WorkName(static_cast<engine::Work>(k))] = fits[name].seconds[k];
    file["precisions"][name] = {
        {"seconds", seconds},
        {"error", {{"mean", error.mean}, {"largest", error.largest}, {"steps", error.steps}}}};
  }
  if (fits.empty()) throw std::range_error("no measured steps");
  std::vector<engine::LinkSample> sizes;
  for (const json& sample : measured.at("all_reduce"))
    sizes.push_back({Number(sample, "bytes"), Number(sample, "seconds")});
  SEER_ASSIGN_OR_RETURN(const engine::LinkCost link, engine::FitLink(sizes));
  file["all_reduce"] = {{"latency_seconds", link.latency_seconds},
                        {"seconds_per_byte", link.seconds_per_byte},
                        {"measured", measured.at("all_reduce")}};
  for (json& step : measured["steps"]) {
    SEER_ASSIGN_OR_RETURN(const engine::StepSample sample, ToSample(step));
    step["predicted_seconds"] =
        engine::PredictStep(fits[step.at("precision").get<std::string>()], sample.work).seconds();
  }
  file["steps"] = std::move(measured["steps"]);
  return file;
}

void Read(const json& file, Calibration& c) {
  c.host = file.at("host").get<std::string>();
  c.cpu = file.at("cpu").get<std::string>();
  c.device = file.at("device").get<std::string>();
  c.threads = file.at("threads").get<int>();
  c.date = file.at("date").get<std::string>();
  for (const auto& [name, fit] : file.at("precisions").items()) {
    Calibration::Precision& precision = c.precisions[name];
    for (size_t k = 0; k < engine::kWorkKinds; ++k)
      precision.constants.seconds[k] =
          Number(fit.at("seconds"), engine::WorkName(static_cast<engine::Work>(k)));
    const json& error = fit.at("error");
    precision.error = {Number(error, "mean"), Number(error, "largest"),
                       error.at("steps").get<int>()};
  }
  if (c.precisions.empty()) throw std::range_error("no precision");
  c.link = {Number(file.at("all_reduce"), "latency_seconds"),
            Number(file.at("all_reduce"), "seconds_per_byte")};
}

}  // namespace

const Calibration::Precision* Calibration::Find(v1::PrecisionMode mode) const {
  const char* name = mode == v1::PRECISION_MODE_BF16            ? "bf16"
                     : mode == v1::PRECISION_MODE_FP16          ? "fp16"
                     : mode == v1::PRECISION_MODE_TF32 && gpu() ? "tf32"
                                                                : "fp32";
  const auto found = precisions.find(name);
  return found == precisions.end() ? nullptr : &found->second;
}

std::string CalibrationPath() {
  return (fs::path(ConfigPath()).parent_path() / "calibration.json").string();
}

absl::StatusOr<Calibration> LoadCalibration(const std::string& path) {
  std::error_code error;
  if (!fs::is_regular_file(path, error)) {
    return Error(absl::StatusCode::kNotFound, reason::kObjectNotFound,
                 absl::StrCat("no calibration ", path))
        .Hint(kAgain);
  }
  Calibration calibration;
  calibration.file = path;
  try {
    Read(json::parse(ReadFile(path)), calibration);
  } catch (const std::exception& failure) {
    return Damaged(path, failure.what());
  }
  return calibration;
}

absl::StatusOr<std::string> FitCalibration(const std::string& measured, absl::Time now) {
  try {
    SEER_ASSIGN_OR_RETURN(const json file, Fit(json::parse(measured), now));
    return file.dump(1);
  } catch (const std::exception& failure) {
    return Damaged("what seer-trainer measured", failure.what());
  }
}

absl::StatusOr<std::string> MeasureThisMachine(const MeasureOptions& options,
                                               Interrupt& interrupt) {
  std::error_code error;
  std::string trainer = options.trainer;
  if (trainer.empty())
    trainer = fs::read_symlink("/proc/self/exe", error).parent_path() / "seer-trainer";
  if (::access(trainer.c_str(), X_OK) != 0) {
    return Error(absl::StatusCode::kNotFound, reason::kObjectNotFound,
                 absl::StrCat("no program ", trainer))
        .Hint(
            "calibrate where the workers' programs are, then copy the file and name it with "
            "--calibration");
  }
  const int threads = options.threads > 0
                          ? options.threads
                          : static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  std::vector<std::string> command = {trainer,    "--calibrate", "--threads", absl::StrCat(threads),
                                      "--device", options.device};
  if (options.quick) command.push_back("--quick");
  return RunProgram(std::move(command), "", interrupt);
}

}  // namespace seer::client
