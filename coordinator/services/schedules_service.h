// seer.v1.Schedules: protos to commands and back.
// Thread-safe; calls block a thread of the server's pool.
#pragma once

#include <string>

#include "coordinator/services/core_runner.h"
#include "coordinator/services/job_maker.h"
#include "seer/v1/schedules.grpc.pb.h"

namespace seer::coordinator {

class SchedulesService final : public v1::Schedules::Service {
 public:
  // Both must outlive the service.
  SchedulesService(CoreRunner& runner, JobMaker& maker) : runner_(runner), maker_(maker) {}

  grpc::Status CreateSchedule(grpc::ServerContext*, const v1::CreateScheduleRequest*,
                              v1::Schedule*) override;
  grpc::Status GetSchedule(grpc::ServerContext*, const v1::GetScheduleRequest*,
                           v1::Schedule*) override;
  grpc::Status ListSchedules(grpc::ServerContext*, const v1::ListSchedulesRequest*,
                             v1::ListSchedulesResponse*) override;
  grpc::Status UpdateSchedule(grpc::ServerContext*, const v1::UpdateScheduleRequest*,
                              v1::Schedule*) override;
  grpc::Status DeleteSchedule(grpc::ServerContext*, const v1::DeleteScheduleRequest*,
                              v1::Schedule*) override;

 private:
  absl::Status Get(const std::string& name, v1::Schedule& out);
  absl::Status List(const v1::ListSchedulesRequest& request, v1::ListSchedulesResponse& out);
  absl::Status Create(const v1::Schedule& schedule, v1::Schedule& out);
  absl::Status Update(const v1::UpdateScheduleRequest& request, v1::Schedule& out);
  absl::Status Delete(const v1::DeleteScheduleRequest& request, v1::Schedule& out);
  // What the jobs of a schedule are made of; pools and checkpoints may come later.
  absl::Status CheckSpec(const v1::JobSpec& spec);
  absl::Status SetField(const std::string& field, const v1::Schedule& from, JobSchedule& to);

  CoreRunner& runner_;
  JobMaker& maker_;
};

}  // namespace seer::coordinator
