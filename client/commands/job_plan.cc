// seer job plan.
#include <grpcpp/grpcpp.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "client/calibration.h"
#include "client/commands/job.h"
#include "client/commands/spec_file.h"
#include "client/plan.h"
#include "common/base/clock.h"
#include "common/base/error.h"
#include "common/base/process.h"
#include "common/base/status_macros.h"
#include "common/rpc/status_grpc.h"

namespace seer::client {
namespace {

constexpr std::chrono::seconds kPatience(5);

struct PlanOptions {
  SpecOptions spec;
  std::string calibration;  // a file; empty: the user's own
  bool calibrate = false;
  MeasureOptions measure;
};

// Measures and writes the file; says what came out.
absl::Status CalibrateInto(const std::string& path, const MeasureOptions& options,
                           Interrupt& interrupt) {
  SEER_ASSIGN_OR_RETURN(const std::string measured, MeasureThisMachine(options, interrupt));
  SEER_ASSIGN_OR_RETURN(const std::string text, FitCalibration(measured, Clock::Real().Now()));
  const std::filesystem::path folder = std::filesystem::path(path).parent_path();
  std::error_code ignored;  // the write tells
  if (!folder.empty()) std::filesystem::create_directories(folder, ignored);
  SEER_RETURN_IF_ERROR(WriteFileAtomically(path, text));
  SEER_ASSIGN_OR_RETURN(const Calibration calibration, LoadCalibration(path));
  for (const auto& [name, precision] : calibration.precisions)
    Note(absl::StrFormat("%s: %.0f %% off on average, %.0f %% at most, on steps not fitted: %d",
                         name, 100 * precision.error.mean, 100 * precision.error.largest,
                         precision.error.steps));
  Note(absl::StrCat("calibration written to ", path));
  return absl::OkStatus();
}

// None: the user has no file, and named none.
absl::StatusOr<std::optional<Calibration>> FindCalibration(const PlanOptions& options) {
  const bool named = !options.calibration.empty();
  auto calibration = LoadCalibration(named ? options.calibration : CalibrationPath());
  if (absl::IsNotFound(calibration.status()) && !named) return std::nullopt;
  SEER_RETURN_IF_ERROR(calibration.status());
  return *std::move(calibration);
}

// Asks the coordinator, if one is known, once: a plan needs none.
std::optional<StartPlan> AskForStart(Session& session, const v1::JobSpec& spec) {
  const auto channel = session.Coordinator();
  if (!channel.ok()) return std::nullopt;
  const auto stub = v1::Jobs::NewStub(*channel);
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kPatience);
  Interrupt::Scope scope(*session.interrupt, context);
  v1::PlanJobRequest request;
  *request.mutable_spec() = spec;
  v1::PlanJobResponse response;
  const absl::Status status = FromGrpc(stub->PlanJob(&context, request, &response));
  StartPlan start;
  if (!status.ok()) {
    start.why_not = absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status)
                        ? "the coordinator does not answer"
                        : std::string(status.message());
    return start;
  }
  start.why_not = response.wait().message();
  if (response.wait().has_estimated_start_time())
    start.when = FormatTime(response.wait().estimated_start_time());
  std::map<std::string, int> machines;
  for (const auto& rank : response.ranks())
    ++machines[std::string(absl::StripPrefix(rank.worker(), "workers/"))];
  start.machines = absl::StrJoin(machines, ", ", absl::PairFormatter(" x "));
  return start;
}

void Print(OutputForm form, const v1::JobSpec& spec, const JobPlan& plan,
           const Calibration* calibration) {
  switch (form) {
    case OutputForm::kJson:
      std::printf("%s\n",
                  nlohmann::ordered_json::parse(PlanJson(spec, plan, calibration)).dump(1).c_str());
      return;
    case OutputForm::kJsonl:
      std::printf("%s\n", PlanJson(spec, plan, calibration).c_str());
      return;
    case OutputForm::kYaml:
      return PrintYaml(PlanJson(spec, plan, calibration));
    case OutputForm::kName:
      std::printf("%s\n", spec.metadata().name().c_str());
      return;
    default:
      return PrintLines(PlanLines(spec, plan, calibration));
  }
}

absl::Status Plan(Session& session, const PlanOptions& options) {
  if (options.spec.file.empty() && !options.calibrate) {
    return Error(absl::StatusCode::kInvalidArgument, reason::kMissingField, "no job to plan")
        .Hint("name a YAML file with a job, or --calibrate");
  }
  std::optional<v1::JobSpec> spec;  // read first: a mistake in it is found before minutes pass
  if (!options.spec.file.empty()) {
    SEER_ASSIGN_OR_RETURN(spec, ReadSpec(options.spec));
  }
  if (options.calibrate) {
    SEER_RETURN_IF_ERROR(
        CalibrateInto(options.calibration.empty() ? CalibrationPath() : options.calibration,
                      options.measure, *session.interrupt));
  }
  if (!spec) return absl::OkStatus();
  SEER_ASSIGN_OR_RETURN(const std::optional<Calibration> calibration, FindCalibration(options));
  const Calibration* known = calibration ? &*calibration : nullptr;
  SEER_ASSIGN_OR_RETURN(JobPlan plan, PlanJob(*spec, known));
  plan.start = AskForStart(session, *spec);
  Print(session.form, *spec, plan, known);
  return absl::OkStatus();
}

}  // namespace

void AddPlan(CLI::App& parent, Session& session) {
  auto options = std::make_shared<PlanOptions>();
  CLI::App* command = parent.add_subcommand(
      "plan",
      "Say what a job would be: parameters, work, memory, traffic, time; and, if a coordinator is "
      "known, when it would start. Needs no cluster");
  AddSpecOptions(*command, options->spec, {.required = false});
  command->add_option("--calibration", options->calibration,
                      "File with what a machine's steps cost, which --calibrate writes; default: "
                      "calibration.json beside the context file");
  CLI::Option* calibrate =
      command->add_flag("--calibrate", options->calibrate,
                        "Measure this machine's steps and write the file: minutes, best while "
                        "nothing else runs");
  command
      ->add_option("--threads", options->measure.threads,
                   "Of a rank, while it is measured; default: as many as there are cores")
      ->needs(calibrate)
      ->check(CLI::Range(1, 1024));
  command->add_option("--device", options->measure.device, "To measure: cpu or cuda:<index>")
      ->needs(calibrate);
  command->add_flag("--quick", options->measure.quick, "Measure for seconds alone, less exactly")
      ->needs(calibrate);
  command->footer(
      "Examples:\n  seer job plan recipes/digits-200mf.yaml --set "
      "model.trunk.preset=regnety_128gf\n  seer job plan --calibrate --threads 2\n  seer job plan "
      "job.yaml --calibration cluster-node.json -o json");
  command->callback([&session, options] {
    const absl::Status status = Plan(session, *options);
    if (!status.ok()) session.exit_code = Fail(status);
  });
}

}  // namespace seer::client
