// seer.v1.Jobs: protos to commands and back.
// Thread-safe; calls block a thread of the server's pool.
#pragma once

#include <string>

#include "common/base/clock.h"
#include "coordinator/services/change_feed.h"
#include "coordinator/services/core_runner.h"
#include "coordinator/services/job_maker.h"
#include "coordinator/services/log_store.h"
#include "seer/v1/jobs.grpc.pb.h"

namespace seer::coordinator {

class JobsService final : public v1::Jobs::Service {
 public:
  // All must outlive the service.
  JobsService(CoreRunner& runner, Clock& clock, JobMaker& maker, ChangeFeed& feed, LogStore& logs)
      : runner_(runner), clock_(clock), maker_(maker), feed_(feed), logs_(logs) {}

  grpc::Status CreateJob(grpc::ServerContext*, const v1::CreateJobRequest*, v1::Job*) override;
  grpc::Status PlanJob(grpc::ServerContext*, const v1::PlanJobRequest*,
                       v1::PlanJobResponse*) override;
  grpc::Status GetJob(grpc::ServerContext*, const v1::GetJobRequest*, v1::Job*) override;
  grpc::Status ListJobs(grpc::ServerContext*, const v1::ListJobsRequest*,
                        v1::ListJobsResponse*) override;
  grpc::Status PauseJob(grpc::ServerContext*, const v1::PauseJobRequest*, v1::Job*) override;
  grpc::Status ResumeJob(grpc::ServerContext*, const v1::ResumeJobRequest*, v1::Job*) override;
  grpc::Status UpdateJob(grpc::ServerContext*, const v1::UpdateJobRequest*, v1::Job*) override;
  grpc::Status CancelJob(grpc::ServerContext*, const v1::CancelJobRequest*, v1::Job*) override;
  grpc::Status WatchJob(grpc::ServerContext*, const v1::WatchJobRequest*,
                        grpc::ServerWriter<v1::Job>*) override;
  grpc::Status ListEvents(grpc::ServerContext*, const v1::ListEventsRequest*,
                          v1::ListEventsResponse*) override;
  grpc::Status ReadLogs(grpc::ServerContext*, const v1::ReadLogsRequest*,
                        grpc::ServerWriter<v1::LogLine>*) override;

 private:
  absl::Status Verb(Command command, v1::Job& out);
  absl::Status Get(const std::string& name, v1::Job& out);
  // With an estimate of its start, if it waits.
  absl::Status GetWithEstimate(const std::string& name, v1::Job& out);
  absl::Status Plan(const v1::JobSpec& request, v1::PlanJobResponse& out);
  // Not on the loop: it takes up to a second.
  void Estimate(SchedulerInput input, size_t gang, v1::Wait& out);
  Moment Now() { return {clock_.Now(), clock_.Steady()}; }
  absl::Status List(const v1::ListJobsRequest& request, v1::ListJobsResponse& out);
  absl::Status Watch(grpc::ServerContext& context, const std::string& name,
                     grpc::ServerWriter<v1::Job>& writer);
  // Behind the line that came with `token`; empty: the oldest line. INVALID_ARGUMENT with
  // INVALID_PAGE_TOKEN.
  absl::StatusOr<LogPosition> PositionOf(const std::string& job, const std::string& token);
  absl::Status Logs(grpc::ServerContext& context, const v1::ReadLogsRequest& request,
                    grpc::ServerWriter<v1::LogLine>& writer);

  CoreRunner& runner_;
  Clock& clock_;
  JobMaker& maker_;
  ChangeFeed& feed_;
  LogStore& logs_;
};

}  // namespace seer::coordinator
