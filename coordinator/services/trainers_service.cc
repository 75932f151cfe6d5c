#include "coordinator/services/trainers_service.h"

#include <cmath>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/base/clock.h"
#include "common/base/error.h"
#include "common/base/log.h"
#include "common/rpc/status_grpc.h"
#include "coordinator/services/convert.h"
#include "seer/v1/profiles.pb.h"

namespace seer::coordinator {
namespace {

// That the database cannot be written now is no judgement of a report: the change is kept and goes
// with a later commit. Trainers end at any other code than UNAVAILABLE, at which they try again.
absl::Status ForTrainer(const absl::Status& status) {
  if (status.ok() || absl::IsFailedPrecondition(status) || absl::IsInvalidArgument(status) ||
      absl::IsAborted(status))
    return status;
  absl::Status later(absl::StatusCode::kUnavailable, status.message());
  status.ForEachPayload(
      [&](absl::string_view url, const absl::Cord& payload) { later.SetPayload(url, payload); });
  return later;
}

// What is added up over a job's life: one value that is no number would stay in its sums.
absl::Status CheckSeconds(const Progress& progress) {
  for (const auto& [field, seconds] :
       {std::pair("data_wait_seconds", progress.data_wait_seconds),
        std::pair("train_seconds", progress.train_seconds),
        std::pair("checkpoint_seconds", progress.checkpoint_seconds)}) {
    if (std::isfinite(seconds) && seconds >= 0) continue;
    return Error(absl::StatusCode::kInvalidArgument, reason::kOutOfRange,
                 absl::StrCat(field, " is ", seconds, ", must be a number of seconds from 0"))
        .Field(field);
  }
  return absl::OkStatus();
}

}  // namespace

grpc::Status TrainersService::ReportProgress(grpc::ServerContext*,
                                             const internal::v1::ReportProgressRequest* request,
                                             internal::v1::ReportProgressResponse* out) {
  const Progress progress = FromProto(*request);
  if (const absl::Status sound = CheckSeconds(progress); !sound.ok()) return ToGrpc(sound);
  const Reply reply = runner_.Execute(
      command::ReportProgress{request->attempt_id(), request->job(), progress, request->profile(),
                              request->profile_first_step(), FromProto(request->data_plan())});
  if (reply.status.ok()) {
    v1::Progress point = ToProto(progress, 0);
    SetTime(Clock::Real().Now(), point.mutable_update_time());
    const std::string job(absl::StripPrefix(request->job(), "jobs/"));
    writer_.Post([this, job, point = std::move(point)] {
      const absl::Status added = curves_.Add(job, point);
      if (!added.ok()) LogWarn("curve_not_written", {{"job", job}, {"error", StatusText(added)}});
    });
  }
  out->set_pause(reply.yes);
  out->set_profile(reply.profile);
  out->set_profile_steps(reply.profile_steps);
  out->set_newest_generation(reply.newest_generation);
  return ToGrpc(ForTrainer(reply.status));
}

grpc::Status TrainersService::ReportCheckpoint(grpc::ServerContext*,
                                               const internal::v1::ReportCheckpointRequest* request,
                                               internal::v1::ReportCheckpointResponse* out) {
  command::ReportCheckpoint report;
  report.attempt_id = request->attempt_id();
  report.job = request->job();
  report.rank = request->rank();
  report.world_size = request->world_size();
  report.step = request->step();
  report.file = {request->file_name(), request->size_bytes(), request->sha256()};
  report.plan = FromProto(request->data_plan());
  const Reply reply = runner_.Execute(std::move(report));
  out->set_committed(reply.yes);
  return ToGrpc(ForTrainer(reply.status));
}

grpc::Status TrainersService::ReportEval(grpc::ServerContext*,
                                         const internal::v1::ReportEvalRequest* request,
                                         internal::v1::ReportEvalResponse*) {
  EvalResult result;
  for (const auto& knn : request->knn())
    result.knn.push_back({knn.k(), knn.top1_ratio(), knn.top5_ratio()});
  result.train_images = request->train_images();
  result.test_images = request->test_images();
  return ToGrpc(ForTrainer(
      runner_.Execute(command::ReportEval{request->attempt_id(), request->job(), std::move(result)})
          .status));
}

grpc::Status TrainersService::ReportProfile(grpc::ServerContext*,
                                            const internal::v1::ReportProfileRequest* request,
                                            internal::v1::ReportProfileResponse*) {
  command::ReportProfile report;
  report.attempt_id = request->attempt_id();
  report.job = request->job();
  report.rank = request->rank();
  report.profile = request->profile();
  report.first_step = request->first_step();
  report.trace = std::make_shared<const std::string>(request->trace());
  if (!v1::RankTrace().ParseFromString(*report.trace)) {
    return ToGrpc(
        Error(absl::StatusCode::kInvalidArgument, reason::kInvalidArgument,
              absl::StrCat("profile report of rank ", report.rank, ": the trace cannot be read"))
            .Field("trace"));
  }
  const absl::Status status = runner_.Execute(std::move(report)).status;
  return ToGrpc(absl::IsNotFound(status) ? status : ForTrainer(status));
}

}  // namespace seer::coordinator
