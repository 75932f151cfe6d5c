#include "worker/trainer/trainer.h"

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/base/clock.h"
#include "common/base/digest.h"
#include "common/base/error.h"
#include "common/base/failpoint.h"
#include "common/base/log.h"
#include "common/base/status_macros.h"
#include "common/metrics/registry.h"
#include "common/objectstore/local_store.h"
#include "common/rpc/channel.h"
#include "common/rpc/status_grpc.h"
#include "engine/session/train_session.h"
#include "worker/exit_codes.h"
#include "worker/trainer/batch_stream.h"
#include "worker/trainer/checkpointer.h"
#include "worker/trainer/progress.h"
#include "worker/trainer/spec_to_config.h"

namespace seer::worker {
namespace {

using internal::v1::Assign;

constexpr double kMeanWeight = 0.1;  // of the newest step in exponential means
constexpr absl::Duration kReportDeadline = absl::Seconds(10);

// "file:///root/job_x/checkpoints/40" -> "job_x/checkpoints/40".
std::string KeyBelow(const std::string& uri, const std::string& root) {
  absl::string_view key = uri;
  absl::ConsumePrefix(&key, root);
  while (absl::ConsumePrefix(&key, "/")) {
  }
  while (absl::ConsumeSuffix(&key, "/")) {
  }
  return std::string(key);
}

std::string JobId(const Assign& assign) {
  return std::string(absl::StripPrefix(assign.job(), "jobs/"));
}

void SetDeadline(grpc::ClientContext& context) {
  context.set_deadline(std::chrono::system_clock::now() +
                       absl::ToChronoMilliseconds(kReportDeadline));
}

// Which images each step used, written before the step runs: {"step": s, "ids": ["…", …]}.
class IdLog {
 public:
  static absl::StatusOr<std::optional<IdLog>> Open(const v1::JobSpec& spec, const Assign& assign) {
    if (!spec.data().record_ids()) return std::optional<IdLog>();
    const std::filesystem::path folder =
        std::filesystem::path(std::string(absl::StripPrefix(assign.storage_uri(), "file://"))) /
        JobId(assign) / "ids";
    std::error_code error;
    std::filesystem::create_directories(folder, error);
    IdLog log;
    log.file_.open(
        folder / absl::StrCat("attempt-", assign.attempt(), "-rank-", assign.rank(), ".jsonl"),
        std::ios::trunc);
    if (!log.file_)
      return Error(absl::StatusCode::kUnavailable, reason::kStorageFailed,
                   absl::StrCat("cannot write below ", folder.string()));
    return std::optional<IdLog>(std::move(log));
  }
  absl::Status Write(const engine::Batch& batch) {
    file_ << "{\"step\":" << batch.step << ",\"ids\":[";
    for (size_t i = 0; i < batch.image_ids.size(); ++i) {
      const auto& id = batch.image_ids[i];
      file_ << (i == 0 ? "\"" : ",\"")
            << ToHex(absl::string_view(reinterpret_cast<const char*>(id.data()), id.size())) << '"';
    }
    file_ << "]}\n" << std::flush;
    if (!file_)
      return Error(absl::StatusCode::kResourceExhausted, reason::kDiskFull,
                   "cannot write the log of image ids");
    return absl::OkStatus();
  }

 private:
  std::ofstream file_;
};

// Series of one rank: names of docs/metrics.md.
class TrainMetrics {
 public:
  TrainMetrics(MetricsRegistry& r, const Assign& assign, int64_t prototypes)
      : registry_(r),
        labels_({{"job", JobId(assign)}, {"rank", absl::StrCat(assign.rank())}}),
        log_k_(std::log(static_cast<double>(prototypes))) {}

  void Observe(const engine::StepReport& report, double wait_seconds, double stall_ratio) {
    Set("seer_train_step", "Steps done.", static_cast<double>(report.step + 1));
    Set("seer_train_loss", "SwAV loss of the newest step, mean over ranks.", report.loss);
    Set("seer_train_learning_rate", "Learning rate of the newest step.", report.learning_rate);
    Set("seer_train_gradient_norm", "Norm of the gradient before the update.",
        report.gradient_norm);
    Set("seer_train_data_stall_ratio", "Share of a step spent waiting for data, exponential mean.",
        stall_ratio);
    Set("seer_swav_prototypes_used_ratio",
        "Prototypes that are the first choice of at least one code, over all.",
        report.prototypes_used_ratio);
    Set("seer_swav_assignment_entropy_nats",
        "Entropy of the mean code; ln K: all prototypes alike.", report.assignment_entropy_nats);
    Set("seer_swav_top_prototype_share_ratio",
        "Share of the codes that the most used prototype gets.", report.top_prototype_share);
    Set("seer_swav_feature_std", "Mean standard deviation of the normalised feature; 0: collapsed.",
        report.feature_std);
    Set("seer_swav_sinkhorn_residual", "Largest relative deviation of a prototype's marginal.",
        report.sinkhorn_residual);
    Set("seer_swav_loss_over_ln_k_ratio",
        "Loss over ln K; near 1: nothing is learned, or all collapsed.", report.loss / log_k_);
    registry_.AddCounter("seer_train_images_total", "Images trained on by this rank.")
        .Add(static_cast<double>(report.images), labels_);
    registry_.AddCounter("seer_train_flops_total", "Analytic count of the work done by this rank.")
        .Add(report.flops, labels_);
    if (report.skipped)
      registry_
          .AddCounter("seer_train_nonfinite_steps_total",
                      "Steps refused because a number was not finite.")
          .Add(1, With("action", "skip"));
    const auto& p = report.phases;
    for (const auto& [phase, seconds] :
         {std::pair("data", wait_seconds), std::pair("copy", p.copy),
          std::pair("augment", p.augment), std::pair("forward", p.forward),
          std::pair("loss", p.loss), std::pair("backward", p.backward),
          std::pair("communication", p.communication), std::pair("optimizer", p.optimizer)}) {
      registry_
          .AddHistogram("seer_train_step_seconds", "Time of a step's phases.",
                        {.001, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30})
          .Observe(seconds, With("phase", phase));
    }
  }

 private:
  void Set(const char* name, const char* help, double value) {
    registry_.AddGauge(name, help).Set(value, labels_);
  }
  MetricLabels With(const std::string& key, const std::string& value) const {
    MetricLabels labels = labels_;
    labels[key] = value;
    return labels;
  }
  MetricsRegistry& registry_;
  const MetricLabels labels_;
  const double log_k_;
};

class Rank {
 public:
  Rank(const v1::JobSpec& spec, const Assign& assign, const std::atomic<bool>& stop,
       MetricsRegistry& metrics)
      : spec_(spec),
        assign_(assign),
        stop_(stop),
        metrics_(metrics),
        coordinator_(internal::v1::Trainers::NewStub(MakeChannel({assign.coordinator_address()}))) {
  }

  // OK: done. CANCELLED: paused, with a checkpoint.
  absl::Status Run() {
    if (spec_.kind() == v1::JOB_KIND_EVAL_KNN) return RunEvaluation(spec_, assign_, *coordinator_);
    SEER_ASSIGN_OR_RETURN(const engine::TrainConfig config, ToTrainConfig(spec_));
    SEER_ASSIGN_OR_RETURN(const auto store, OpenStore(assign_.storage_uri()));
    LogInfo("joining_gang",
            {{"world_size", assign_.world_size()},
             {"store", absl::StrCat(assign_.store_host(), ":", assign_.store_port())}});
    SEER_ASSIGN_OR_RETURN(session_,
                          engine::TrainSession::Create(config, ToRankConfig(spec_, assign_)));
    if (!assign_.restore_uri().empty()) {
      SEER_RETURN_IF_ERROR(
          session_->Restore(*store, KeyBelow(assign_.restore_uri(), assign_.storage_uri())));
      LogInfo("restored", {{"step", session_->next_step()}});
    }
    SEER_ASSIGN_OR_RETURN(ids_, IdLog::Open(spec_, assign_));
    Checkpointer checkpointer(
        *store, absl::StrCat(JobId(assign_), "/checkpoints"),
        [this](int64_t step, const engine::CheckpointFile& file) {
          return ReportCheckpoint(step, file);
        },
        metrics_);
    ProgressReporter progress(
        [this](const internal::v1::ReportProgressRequest& report) { return SendProgress(report); });
    BatchStreamOptions options;
    options.replicas.assign(assign_.dataservice_addresses().begin(),
                            assign_.dataservice_addresses().end());
    options.first_replica = assign_.rank();
    options.prefetch_steps = spec_.data().prefetch_steps();
    BatchStream batches(ToStreamRequest(spec_, assign_, session_->next_step()), std::move(options));
    const absl::Status ended = Train(batches, checkpointer, progress);
    if (!ended.ok() && ended.code() != absl::StatusCode::kCancelled) return ended;
    SEER_RETURN_IF_ERROR(checkpointer.Finish());
    return ended;
  }

 private:
  absl::Status Train(BatchStream& batches, Checkpointer& checkpointer, ProgressReporter& progress) {
    TrainMetrics metrics(metrics_, assign_, spec_.loss().swav().prototypes());
    Clock& clock = Clock::Real();
    const int64_t total = spec_.optim().steps();
    double wait_total = 0, train_total = 0, first_loss = 0, mean_seconds = 0, mean_stall = 0;
    int64_t skipped = 0;
    bool first = true;
    while (session_->next_step() < total) {
      if (stop_ || progress.pause_wanted()) session_->RequestStop();
      if (progress.stale())
        return Error(absl::StatusCode::kFailedPrecondition, reason::kStaleAttempt,
                     "a newer attempt took over");
      SEER_RETURN_IF_ERROR(checkpointer.status());
      const absl::Duration start = clock.Steady();
      SEER_ASSIGN_OR_RETURN(const engine::Batch batch, batches.Next());
      const double waited = absl::ToDoubleSeconds(clock.Steady() - start);
      if (ids_) SEER_RETURN_IF_ERROR(ids_->Write(batch));
      SEER_FAILPOINT("trainer.before_step");
      SEER_ASSIGN_OR_RETURN(const engine::StepReport report, session_->Step(batch));
      const double seconds = absl::ToDoubleSeconds(clock.Steady() - start);
      wait_total += waited;
      train_total += seconds;
      const double weight = first ? 1 : kMeanWeight;
      mean_seconds += weight * (seconds - mean_seconds);
      mean_stall += weight * (waited / seconds - mean_stall);
      if (first) first_loss = report.loss;
      first = false;
      skipped += report.skipped;
      metrics.Observe(report, waited, mean_stall);
      const int64_t done = session_->next_step();
      if (assign_.rank() == 0) {
        internal::v1::ReportProgressRequest message;
        message.set_attempt_id(assign_.attempt_id());
        message.set_job(assign_.job());
        message.set_step(done);
        message.set_loss(report.loss);
        message.set_learning_rate(report.learning_rate);
        message.set_images_per_second(static_cast<double>(spec_.data().global_batch()) /
                                      mean_seconds);
        message.set_step_seconds(mean_seconds);
        message.set_data_stall_ratio(mean_stall);
        message.set_prototypes_used_ratio(report.prototypes_used_ratio);
        message.set_assignment_entropy_nats(report.assignment_entropy_nats);
        message.set_feature_std(report.feature_std);
        message.set_gradient_norm(report.gradient_norm);
        message.set_skipped_steps(skipped);
        message.set_data_wait_seconds(wait_total);
        message.set_train_seconds(train_total);
        message.set_first_loss(first_loss);
        progress.Update(std::move(message));
      }
      if (done % spec_.checkpoint().every_steps() == 0 || done == total || report.stop_requested) {
        const absl::Duration before = clock.Steady();
        SEER_ASSIGN_OR_RETURN(auto snapshot, session_->Snapshot());
        metrics_.AddHistogram("seer_checkpoint_seconds", "Time of a checkpoint's stages.", {})
            .Observe(absl::ToDoubleSeconds(clock.Steady() - before), {{"stage", "snapshot"}});
        SEER_RETURN_IF_ERROR(checkpointer.Submit(std::move(snapshot)));
      }
      if (report.stop_requested && done < total) return absl::CancelledError("paused");
    }
    return absl::OkStatus();
  }

  absl::StatusOr<bool> ReportCheckpoint(int64_t step, const engine::CheckpointFile& file) {
    internal::v1::ReportCheckpointRequest request;
    request.set_attempt_id(assign_.attempt_id());
    request.set_job(assign_.job());
    request.set_rank(assign_.rank());
    request.set_world_size(assign_.world_size());
    request.set_step(step);
    request.set_file_name(file.name);
    request.set_size_bytes(file.size_bytes);
    request.set_sha256(file.sha256);
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
    return response.pause();
  }

  const v1::JobSpec& spec_;
  const Assign& assign_;
  const std::atomic<bool>& stop_;
  MetricsRegistry& metrics_;
  const std::unique_ptr<internal::v1::Trainers::Stub> coordinator_;
  std::unique_ptr<engine::TrainSession> session_;
  std::optional<IdLog> ids_;
};

}  // namespace

RankOutcome OutcomeOf(const absl::Status& status) {
  RankOutcome outcome;
  const auto detail = GetErrorDetail(status);
  outcome.reason = detail ? detail->reason : std::string(reason::kInternal);
  outcome.message = std::string(status.message());
  const auto is = [&](absl::string_view reason) { return outcome.reason == reason; };
  if (is(reason::kStaleAttempt)) {
    outcome.exit_code = kExitStale;
  } else if (is(reason::kOutOfMemory)) {
    outcome.exit_code = kExitOutOfMemory;
  } else if (is(reason::kCollectiveFailed)) {
    outcome.exit_code = kExitCollective;
  } else if (is(reason::kDiskFull) || is(reason::kStorageFailed) || is(reason::kObjectNotFound) ||
             is(reason::kCheckpointCorrupt)) {
    outcome.exit_code = kExitStorage;
  } else if (is(reason::kTooManyBadImages) || is(reason::kPoolNotFound) || is(reason::kPoolEmpty) ||
             is(reason::kPoolCorrupt) || is(reason::kGenerationNotFound) || is(reason::kNoLabels)) {
    outcome.exit_code = kExitData;
  } else if (status.code() == absl::StatusCode::kInvalidArgument ||
             is(reason::kCheckpointMismatch)) {
    outcome.exit_code = kExitUserError;
  } else {
    outcome.exit_code = kExitInternal;
  }
  return outcome;
}

RankOutcome RunRank(const Assign& assign, const std::atomic<bool>& stop, MetricsRegistry& metrics) {
  v1::JobSpec spec;
  if (!spec.ParseFromString(assign.spec()))
    return {kExitInternal, std::string(reason::kInternal), "the assignment's spec cannot be read"};
  const absl::Status status = Rank(spec, assign, stop, metrics).Run();
  if (status.ok()) return {kExitDone, "", ""};
  if (status.code() == absl::StatusCode::kCancelled && !GetErrorDetail(status))
    return {kExitPaused, "", ""};
  return OutcomeOf(status);
}

}  // namespace seer::worker
