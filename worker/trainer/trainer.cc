#include "worker/trainer/trainer.h"

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/base/clock.h"
#include "common/base/error.h"
#include "common/base/failpoint.h"
#include "common/base/flight_recorder.h"
#include "common/base/log.h"
#include "common/base/status_macros.h"
#include "common/base/trainer_exit.h"
#include "common/metrics/registry.h"
#include "common/objectstore/open_store.h"
#include "common/rpc/channel.h"
#include "common/rpc/status_grpc.h"
#include "common/trace/tracer.h"
#include "engine/session/train_session.h"
#include "worker/trainer/batch_sources.h"
#include "worker/trainer/checkpointer.h"
#include "worker/trainer/id_log.h"
#include "worker/trainer/initial_weights.h"
#include "worker/trainer/planned_batches.h"
#include "worker/trainer/profiler.h"
#include "worker/trainer/progress.h"
#include "worker/trainer/refused_steps.h"
#include "worker/trainer/spec_to_config.h"
#include "worker/trainer/step_spans.h"
#include "worker/trainer/step_tally.h"
#include "worker/trainer/train_metrics.h"

namespace seer::worker {
namespace {

using internal::v1::Assign;

constexpr absl::Duration kReportDeadline = absl::Seconds(10);

std::string JobId(const Assign& assign) {
  return std::string(absl::StripPrefix(assign.job(), "jobs/"));
}

internal::v1::ReportProfileRequest ProfileOf(const Assign& assign) {
  internal::v1::ReportProfileRequest who;
  who.set_attempt_id(assign.attempt_id());
  who.set_job(assign.job());
  who.set_rank(assign.rank());
  return who;
}

void SetDeadline(grpc::ClientContext& context) {
  context.set_deadline(std::chrono::system_clock::now() +
                       absl::ToChronoMilliseconds(kReportDeadline));
}

class Rank {
 public:
  Rank(const v1::JobSpec& spec, const Assign& assign, const std::atomic<bool>& stop,
       const RankEnvironment& environment)
      : spec_(spec),
        assign_(assign),
        stop_(stop),
        metrics_(environment.metrics),
        flight_(environment.flight),
        peak_flops_(environment.peak_flops),
        security_(environment.security),
        coordinator_(internal::v1::Trainers::NewStub(
            MakeChannel(SplitAddresses(assign.coordinator_address()), security_))) {}

  absl::StatusOr<Ended> Run() {
    // A gang meets first: its ranks stop after the same step, by a vote.
    if (stop_ && assign_.world_size() == 1) return Ended::kPaused;
    if (spec_.kind() == v1::JOB_KIND_EVAL_KNN) {
      const DoingScope evaluating(flight_, Doing::kHost);
      absl::StatusOr<Ended> ended;
      InSpan("evaluate", [&] {
        ended = RunEvaluation(spec_, assign_, stop_, metrics_, *coordinator_, security_);
        return ended.status();
      }).IgnoreError();  // `ended` has it
      return ended;
    }
    SEER_ASSIGN_OR_RETURN(const engine::TrainConfig config,
                          ToTrainConfig(spec_, assign_.world_size()));
    SEER_ASSIGN_OR_RETURN(const auto store, OpenStore(assign_.storage_uri()));
    LogInfo("joining_gang",
            {{"world_size", assign_.world_size()},
             {"store", absl::StrCat(assign_.store_host(), ":", assign_.store_port())}});
    engine::RankConfig rank = ToRankConfig(spec_, assign_);
    rank.flight = flight_;
    SEER_RETURN_IF_ERROR(InSpan("join gang", [&]() -> absl::Status {
      const DoingScope joining(flight_, Doing::kJoining);
      SEER_ASSIGN_OR_RETURN(session_, engine::TrainSession::Create(config, rank));
      return absl::OkStatus();
    }));
    if (!assign_.restore_uri().empty()) {
      const DoingScope restoring(flight_, Doing::kRestoring);
      SEER_RETURN_IF_ERROR(InSpan("load checkpoint", [&](Span& traced) {
        traced.Set("seer.step", int64_t{assign_.restore_step()});
        return session_->Restore(*store, KeyBelow(assign_.restore_uri(), assign_.storage_uri()));
      }));
      LogInfo("restored", {{"step", session_->next_step()}});
    } else if (!config.weights.uri.empty()) {
      SEER_RETURN_IF_ERROR(
          InSpan("load weights", [&] { return LoadInitialWeights(config.weights, *session_); }));
    }
    SEER_ASSIGN_OR_RETURN(ids_, IdLog::Open(spec_, assign_));
    std::unique_ptr<BatchSources> sources;
    SEER_RETURN_IF_ERROR(InSpan("open data", [&]() -> absl::Status {
      SEER_ASSIGN_OR_RETURN(
          sources, BatchSources::Create(spec_, assign_, spec_.data().pool(), metrics_, security_));
      return absl::OkStatus();
    }));
    PlannedBatches batches(
        ToStreamRequest(spec_, assign_, session_->next_step()),
        [&](const v1::StreamBatchesRequest& request) { return sources->Open(request); });
    Checkpointer checkpointer(
        *store, absl::StrCat(JobId(assign_), "/checkpoints"),
        [&](int64_t step, const engine::CheckpointFile& file) {
          return ReportCheckpoint(step, file, batches.plan());
        },
        metrics_, &session_->trace());
    Profiler profiler(
        session_->trace(), ProfileOf(assign_),
        [this](const internal::v1::ReportProfileRequest& report) { return SendProfile(report); });
    ProgressReporter progress(
        [this](const internal::v1::ReportProgressRequest& report) { return SendProgress(report); });
    SEER_ASSIGN_OR_RETURN(const Ended ended, Train(batches, checkpointer, progress, profiler));
    const DoingScope committing(flight_, Doing::kCommit);
    SEER_RETURN_IF_ERROR(InSpan("wait for the last commit", [&] { return checkpointer.Finish(); }));
    return ended;
  }

 private:
  absl::StatusOr<Ended> Train(PlannedBatches& batches, Checkpointer& checkpointer,
                              ProgressReporter& progress, Profiler& profiler) {
    TrainMetrics metrics(metrics_, assign_, spec_.loss().swav().prototypes(), peak_flops_);
    metrics.ObserveSpec(spec_);
    StepTally tally;
    StepSpans spans(Clock::Real());
    RefusedSteps refused(spec_.failure());
    Clock& clock = Clock::Real();
    const int64_t total = spec_.optim().steps();
    const DoingScope between_steps(flight_, Doing::kHost);
    while (session_->next_step() < total) {
      if (flight_ != nullptr) flight_->BeginStep(session_->next_step());
      if (stop_ || progress.pause_wanted()) session_->RequestStop();
      if (progress.stale())
        return Error(absl::StatusCode::kFailedPrecondition, reason::kStaleAttempt,
                     "a newer attempt took over");
      SEER_RETURN_IF_ERROR(checkpointer.status());
      const absl::Duration start = clock.Steady();
      SEER_ASSIGN_OR_RETURN(const engine::Batch batch, NextBatch(batches));
      const double waited = absl::ToDoubleSeconds(clock.Steady() - start);
      if (ids_) SEER_RETURN_IF_ERROR(ids_->Write(batch));
      SEER_FAILPOINT("trainer.before_step");
      SEER_ASSIGN_OR_RETURN(const engine::StepReport report, Step(batch));
      const double seconds = absl::ToDoubleSeconds(clock.Steady() - start);
      tally.Add(report, waited, seconds);
      spans.StepDone(report, waited);
      metrics.Observe(report, seconds, waited, tally.stall_ratio());
      const int64_t done = session_->next_step();
      // All ranks are told of it by the same step. What is ready by then is still used.
      if (report.announced > 0)
        batches.Follow(done + spec_.data().prefetch_steps(), report.announced);
      if (assign_.rank() == 0) {
        auto message = tally.Report(report, spec_.data().global_batch());
        message.set_attempt_id(assign_.attempt_id());
        message.set_job(assign_.job());
        *message.mutable_data_plan() = batches.plan();
        message.set_profile(profiler.profile());
        message.set_profile_first_step(profiler.first_step());
        progress.Update(std::move(message));
      }
      const absl::Status verdict = refused.Observe(report);
      if (report.skipped && !report.own_finite) {
        LogWarn("step_refused", {{"step", report.step},
                                 {"in_a_row", refused.in_a_row()},
                                 {"loss", report.loss},
                                 {"gradient_norm", report.gradient_norm},
                                 {"images", NameImages(batch)}});
      }
      SEER_RETURN_IF_ERROR(verdict);
      const bool due = done % spec_.checkpoint().every_steps() == 0 && refused.keeps_state();
      if (due || done == total || report.stop_requested) {
        const absl::Duration before = clock.Steady();
        spans.EndBlock();
        SEER_RETURN_IF_ERROR(TakeCheckpoint(checkpointer));
        spans.BeginBlock();
        const double held_up = absl::ToDoubleSeconds(clock.Steady() - before);
        tally.AddCheckpoint(held_up);
        metrics.ObserveCheckpoint(held_up);
      }
      profiler.StepDone(report);
      if (flight_ != nullptr) flight_->StepDone(report.phases.copy);
      if (report.stop_requested && done < total) return Ended::kPaused;
    }
    return Ended::kDone;
  }

  absl::StatusOr<engine::Batch> NextBatch(engine::BatchSource& batches) {
    const engine::TraceScope span(&session_->trace(), engine::TraceTrack::kTraining,
                                  "wait for data", "data");
    const DoingScope waiting(flight_, Doing::kData);
    SEER_FAILPOINT(PlaceOfRank("data"));
    return batches.Next();
  }

  absl::StatusOr<engine::StepReport> Step(const engine::Batch& batch) {
    const DoingScope computing(flight_, Doing::kCompute);
    SEER_FAILPOINT(PlaceOfRank("compute"));
    return session_->Step(batch);
  }

  // Of a failpoint that one rank of one attempt comes to: "trainer.data.NAME.ATTEMPT.RANK".
  [[maybe_unused]] std::string PlaceOfRank(const char* what) const {
    return absl::StrCat("trainer.", what, ".", spec_.metadata().name(), ".", assign_.attempt(), ".",
                        assign_.rank());
  }

  absl::Status TakeCheckpoint(Checkpointer& checkpointer) {
    Clock& clock = Clock::Real();
    const absl::Duration before = clock.Steady();
    std::unique_ptr<engine::CheckpointSnapshot> snapshot;
    SEER_RETURN_IF_ERROR(InSpan("snapshot", [&](Span& traced) -> absl::Status {
      traced.Set("seer.step", session_->next_step());
      const engine::TraceScope span(&session_->trace(), engine::TraceTrack::kTraining, "snapshot",
                                    "checkpoint");
      const DoingScope copying(flight_, Doing::kSnapshot);
      SEER_ASSIGN_OR_RETURN(snapshot, session_->Snapshot());
      return absl::OkStatus();
    }));
    checkpointer.ObserveSnapshot(clock.Steady() - before);
    const engine::TraceScope span(&session_->trace(), engine::TraceTrack::kTraining,
                                  "wait for the checkpoint before", "checkpoint");
    const DoingScope waiting(flight_, Doing::kCheckpointBefore);
    return checkpointer.Submit(std::move(snapshot));
  }

  absl::StatusOr<bool> ReportCheckpoint(int64_t step, const engine::CheckpointFile& file,
                                        const PlannedBatches::Plan& plan) {
    internal::v1::ReportCheckpointRequest request;
    request.set_attempt_id(assign_.attempt_id());
    request.set_job(assign_.job());
    request.set_rank(assign_.rank());
    request.set_world_size(assign_.world_size());
    request.set_step(step);
    request.set_file_name(file.name);
    request.set_size_bytes(file.size_bytes);
    request.set_sha256(file.sha256);
    *request.mutable_data_plan() = plan;
    internal::v1::ReportCheckpointResponse response;
    grpc::ClientContext context;
    SetDeadline(context);
    SEER_RETURN_IF_ERROR(FromGrpc(coordinator_->ReportCheckpoint(&context, request, &response)));
    return response.committed();
  }

  absl::StatusOr<bool> SendProgress(const internal::v1::ReportProgressRequest& request) {
    internal::v1::ReportProgressResponse response;
    grpc::ClientContext context;
    SetDeadline(context);
    SEER_RETURN_IF_ERROR(FromGrpc(coordinator_->ReportProgress(&context, request, &response)));
    session_->RequestTrace({response.profile(), response.profile_steps()});
    session_->Announce(response.newest_generation());
    return response.pause();
  }

  absl::Status SendProfile(const internal::v1::ReportProfileRequest& request) {
    internal::v1::ReportProfileResponse response;
    grpc::ClientContext context;
    SetDeadline(context);
    return FromGrpc(coordinator_->ReportProfile(&context, request, &response));
  }

  const v1::JobSpec& spec_;
  const Assign& assign_;
  const std::atomic<bool>& stop_;
  MetricsRegistry& metrics_;
  FlightRecorder* const flight_;  // may be null
  const double peak_flops_;       // 0: not known
  const std::shared_ptr<const ClientSecurity> security_;
  const std::unique_ptr<internal::v1::Trainers::Stub> coordinator_;
  std::unique_ptr<engine::TrainSession> session_;
  std::optional<IdLog> ids_;
};

}  // namespace

RankOutcome RunRank(const Assign& assign, const std::atomic<bool>& stop,
                    const RankEnvironment& environment) {
  v1::JobSpec spec;
  if (!spec.ParseFromString(assign.spec()))
    return {kExitInternal, std::string(reason::kInternal), "the assignment's spec cannot be read"};
  const absl::StatusOr<Ended> ended = Rank(spec, assign, stop, environment).Run();
  return ended.ok() ? OutcomeOf(*ended) : OutcomeOf(ended.status());
}

}  // namespace seer::worker
