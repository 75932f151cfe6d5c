// seer-trainer: runs one rank and exits with a code of common/base/trainer_exit.h. Started by the
// agent.
#include <signal.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/flight_recorder.h"
#include "common/base/log.h"
#include "common/base/process.h"
#include "common/base/trainer_exit.h"
#include "common/metrics/http.h"
#include "common/otlp/telemetry.h"
#include "common/otlp/telemetry_flags.h"
#include "common/rpc/security_flags.h"
#include "common/trace/tracer.h"
#include "engine/session/host_allocator.h"
#include "worker/trainer/calibrate.h"
#include "worker/trainer/collective_metrics.h"
#include "worker/trainer/train_metrics.h"
#include "worker/trainer/trainer.h"

namespace {

std::atomic<bool> stop_requested{false};  // the one global: a signal handler can reach nothing else

void OnTerminate(int) { stop_requested = true; }

int PrintCalibration(const seer::worker::CalibrateOptions& options) {
  signal(SIGTERM, SIG_DFL);
  signal(SIGINT, SIG_DFL);
  const auto measured = seer::worker::Calibrate(options);
  if (!measured.ok()) return seer::FailProgram(measured.status());
  std::printf("%s\n", measured->c_str());
  std::fflush(nullptr);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  seer::engine::KeepFreedMemory();
  seer::SkipLockOrderChecks();
  signal(SIGTERM, &OnTerminate);
  sigset_t terminate;  // the agent holds it back until it can be handled
  sigemptyset(&terminate);
  sigaddset(&terminate, SIGTERM);
  sigprocmask(SIG_UNBLOCK, &terminate, nullptr);
  signal(SIGINT, SIG_IGN);  // a Ctrl-C on the agent's terminal is the agent's to handle
  signal(SIGPIPE, SIG_IGN);
  std::string path;
  CLI::App app{"Runs one rank of a job. Started by seer-worker, not by hand."};
  app.set_version_flag("--version", SEER_VERSION);
  CLI::Option* assignment =
      app.add_option("--assignment", path, "File with the rank's serialized assignment");
  double peak_flops = 0;
  app.add_option("--peak-flops", peak_flops,
                 "What the rank's device can do in a second; 0: not known");
  std::string otlp_endpoint;
  seer::AddTelemetryFlag(app, otlp_endpoint);
  seer::SecurityOptions security_options;
  seer::AddSecurityFlags(app, seer::SecurityRole::kClient, security_options);
  // For `seer job plan --calibrate` alone.
  seer::worker::CalibrateOptions calibrate;
  CLI::Option* calibrating = app.add_flag("--calibrate")->group("");
  app.add_option("--threads", calibrate.threads)->needs(calibrating)->group("");
  app.add_option("--device", calibrate.device)->needs(calibrating)->group("");
  app.add_flag("--quick", calibrate.quick)->needs(calibrating)->group("");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  if (calibrating->count() > 0) return PrintCalibration(calibrate);
  if (assignment->count() == 0) {
    std::fprintf(stderr, "error: --assignment is required\n");
    return 2;
  }
  seer::internal::v1::Assign assign;
  std::ifstream file(path, std::ios::binary);
  if (!assign.ParseFromIstream(&file)) {
    std::fprintf(stderr, "error: %s is not an assignment\n", path.c_str());
    return seer::kExitInternal;
  }
  seer::InitLogging(seer::LogFormat::kText, seer::LogLevel::kInfo,
                    {{"process", "trainer"},
                     {"job", assign.job()},
                     {"attempt", absl::StrCat(assign.attempt())},
                     {"rank", absl::StrCat(assign.rank())}});
  // What its agent said in the environment was said to the agent: a rank trains all the same.
  const auto telemetry =
      seer::Telemetry::Start({.service = "seer-trainer",
                              .endpoint = otlp_endpoint,
                              .attributes = {{"seer.job", assign.job()},
                                             {"seer.attempt", absl::StrCat(assign.attempt())},
                                             {"seer.rank", absl::StrCat(assign.rank())}},
                              .inherited = true});
  if (!telemetry.ok())
    seer::LogWarn("telemetry_off", {{"error", seer::StatusText(telemetry.status())}});
  const seer::WithinTrace trace(seer::TraceContextOf(assign.traceparent()));
  seer::MetricsRegistry metrics;
  seer::AddTelemetryMetrics(metrics);
  const auto http = seer::MetricsHttp::Start("127.0.0.1:0", metrics);
  if (http.ok()) {
    seer::LogInfo("metrics", {{"port", (*http)->port()}});
    // For the agent, which serves them as part of its own.
    seer::WriteFileAtomically(path + ".metrics", absl::StrCat((*http)->port())).IgnoreError();
  } else {
    seer::LogWarn("metrics_not_served", {{"error", seer::StatusText(http.status())}});
  }
  const auto security = seer::ClientSecurity::Open(security_options);
  if (!security.ok()) {
    seer::FailProgram(security.status());
    return seer::kExitInternal;
  }
  const auto flight = seer::FlightRecorder::Open(path + ".flight");
  if (!flight.ok())
    seer::LogWarn("flight_not_recorded", {{"error", seer::StatusText(flight.status())}});
  seer::worker::CollectiveMetrics collectives(metrics, seer::worker::RankLabels(assign));
  if (flight.ok()) (*flight)->SetObserver(collectives);
  const seer::worker::RankOutcome outcome = seer::worker::RunRank(
      assign, stop_requested,
      {metrics, flight.ok() ? flight->get() : nullptr, peak_flops, *security});
  if (outcome.exit_code != seer::kExitDone) {
    seer::LogWarn("rank_ends", {{"exit_code", outcome.exit_code},
                                {"reason", outcome.reason},
                                {"message", outcome.message}});
    const nlohmann::json word = {{"reason", outcome.reason}, {"message", outcome.message}};
    seer::WriteFileAtomically(path + ".exit",
                              word.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace))
        .IgnoreError();
  }
  if (telemetry.ok()) (*telemetry)->Stop().IgnoreError();  // it has said so
  std::fflush(nullptr);
  // Not exit(): collectives of a gang that lost a rank may hang in their destructors.
  ::_exit(outcome.exit_code);
}
