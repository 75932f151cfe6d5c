#include "coordinator/services/schedules_service.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/rpc/status_grpc.h"
#include "common/spec/rules.h"
#include "common/spec/secrets.h"
#include "coordinator/services/convert.h"
#include "coordinator/services/etag.h"
#include "coordinator/services/page_token.h"

namespace seer::coordinator {
namespace {

v1::Schedule ToProto(const JobSchedule& schedule, const Core& core) {
  v1::Schedule out;
  out.set_name(absl::StrCat("schedules/", schedule.name));
  out.set_cron(schedule.cron);
  out.mutable_spec()->ParseFromString(schedule.spec);
  MaskSecrets(*out.mutable_spec());
  out.set_suspended(schedule.suspended);
  out.set_overlap(static_cast<v1::OverlapPolicy>(schedule.overlap));
  out.set_etag(absl::StrCat(schedule.changes));
  if (const auto next = core.NextTime(schedule)) SetTime(*next, out.mutable_next_time());
  if (schedule.last != absl::InfinitePast()) SetTime(schedule.last, out.mutable_last_time());
  if (!schedule.last_job.empty()) out.set_last_job(absl::StrCat("jobs/", schedule.last_job));
  out.set_last_message(schedule.last_message);
  return out;
}

}  // namespace

absl::Status SchedulesService::CheckSpec(const v1::JobSpec& spec) {
  if (!spec.metadata().name().empty())
    return Broken("spec.metadata.name", absl::StrCat("'", spec.metadata().name(), "'"),
                  "empty: jobs are called \"{schedule}-{time}\"", "leave metadata.name out");
  return maker_.Complete(spec).status();
}

// Sets one field of `to` as `from` has it; what that leaves unset becomes the default.
absl::Status SchedulesService::SetField(const std::string& field, const v1::Schedule& from,
                                        JobSchedule& to) {
  if (field == "cron") {
    to.cron = from.cron();
  } else if (field == "spec") {
    v1::JobSpec spec = from.spec(), before;
    before.ParseFromString(to.spec);
    SEER_RETURN_IF_ERROR(RestoreSecrets(before, spec));
    SEER_RETURN_IF_ERROR(CheckSpec(spec));
    to.spec = spec.SerializeAsString();
  } else if (field == "suspended") {
    to.suspended = from.suspended();
  } else if (field == "overlap") {
    if (!v1::OverlapPolicy_IsValid(from.overlap()))
      return Broken("overlap", absl::StrCat(static_cast<int>(from.overlap())),
                    "skip, allow or replace");
    to.overlap = from.overlap() == v1::OVERLAP_POLICY_UNSPECIFIED
                     ? Overlap::kSkip
                     : static_cast<Overlap>(from.overlap());
  } else {
    return Error(absl::StatusCode::kInvalidArgument, reason::kInvalidArgument,
                 absl::StrCat("a schedule has no field '", field, "' that can be changed"))
        .Field("update_mask")
        .Hint("cron, spec, suspended or overlap");
  }
  return absl::OkStatus();
}

absl::Status SchedulesService::Get(const std::string& name, v1::Schedule& out) {
  return runner_.Read([&](const Core& core, Store&) -> absl::Status {
    SEER_ASSIGN_OR_RETURN(const JobSchedule* schedule, core.FindSchedule(name));
    out = ToProto(*schedule, core);
    return absl::OkStatus();
  });
}

absl::Status SchedulesService::List(const v1::ListSchedulesRequest& request,
                                    v1::ListSchedulesResponse& out) {
  SEER_ASSIGN_OR_RETURN(const int size, PageSize(request.page_size(), 100, 1000));
  SEER_ASSIGN_OR_RETURN(const auto token, ReadPageToken("schedules", 1, request.page_token()));
  return runner_.Read([&](const Core& core, Store&) {
    const auto& all = core.schedules();
    for (auto it = token.empty() ? all.begin() : all.upper_bound(token[0]); it != all.end(); ++it) {
      if (out.schedules_size() == size) {
        out.set_next_page_token(MakePageToken("schedules", {std::prev(it)->first}));
        break;
      }
      *out.add_schedules() = ToProto(it->second, core);
    }
    return absl::OkStatus();
  });
}

absl::Status SchedulesService::Create(const v1::Schedule& from, v1::Schedule& out) {
  command::CreateSchedule create;
  create.schedule.name = std::string(absl::StripPrefix(from.name(), "schedules/"));
  SEER_RETURN_IF_ERROR(CheckName("schedule.name", create.schedule.name));
  for (const char* field : {"cron", "spec", "suspended", "overlap"})
    SEER_RETURN_IF_ERROR(SetField(field, from, create.schedule));
  const std::string name = create.schedule.name;
  SEER_RETURN_IF_ERROR(runner_.Execute(std::move(create)).status);
  return Get(name, out);
}

absl::Status SchedulesService::Update(const v1::UpdateScheduleRequest& request, v1::Schedule& out) {
  if (request.update_mask().paths().empty())
    return Missing("update_mask", "name at least one field: cron, spec, suspended or overlap");
  command::UpdateSchedule update;
  SEER_RETURN_IF_ERROR(runner_.Read([&](const Core& core, Store&) -> absl::Status {
    SEER_ASSIGN_OR_RETURN(const JobSchedule* schedule,
                          core.FindSchedule(request.schedule().name()));
    update.schedule = *schedule;
    return absl::OkStatus();
  }));
  // What is written rests on what was read: nobody may have changed it between.
  update.changes = request.schedule().etag().empty() ? update.schedule.changes
                                                     : ChangesOf(request.schedule().etag());
  for (const std::string& field : request.update_mask().paths())
    SEER_RETURN_IF_ERROR(SetField(field, request.schedule(), update.schedule));
  const std::string name = update.schedule.name;
  SEER_RETURN_IF_ERROR(runner_.Execute(std::move(update)).status);
  return Get(name, out);
}

absl::Status SchedulesService::Delete(const v1::DeleteScheduleRequest& request, v1::Schedule& out) {
  SEER_RETURN_IF_ERROR(Get(request.name(), out));
  return runner_.Execute(command::DeleteSchedule{request.name(), ChangesOf(request.etag())}).status;
}

grpc::Status SchedulesService::CreateSchedule(grpc::ServerContext*,
                                              const v1::CreateScheduleRequest* request,
                                              v1::Schedule* out) {
  return ToGrpc(Create(request->schedule(), *out));
}
grpc::Status SchedulesService::GetSchedule(grpc::ServerContext*,
                                           const v1::GetScheduleRequest* request,
                                           v1::Schedule* out) {
  return ToGrpc(Get(request->name(), *out));
}
grpc::Status SchedulesService::ListSchedules(grpc::ServerContext*,
                                             const v1::ListSchedulesRequest* request,
                                             v1::ListSchedulesResponse* out) {
  return ToGrpc(List(*request, *out));
}
grpc::Status SchedulesService::UpdateSchedule(grpc::ServerContext*,
                                              const v1::UpdateScheduleRequest* request,
                                              v1::Schedule* out) {
  return ToGrpc(Update(*request, *out));
}
grpc::Status SchedulesService::DeleteSchedule(grpc::ServerContext*,
                                              const v1::DeleteScheduleRequest* request,
                                              v1::Schedule* out) {
  return ToGrpc(Delete(*request, *out));
}

}  // namespace seer::coordinator
