#include "coordinator/services/jobs_service.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/rpc/status_grpc.h"
#include "coordinator/core/job_states.h"
#include "coordinator/services/activities.h"
#include "coordinator/services/convert.h"
#include "coordinator/services/page_token.h"
#include "coordinator/services/stream_begin.h"

namespace seer::coordinator {
namespace {

// How soon a watcher that hung up is noticed.
constexpr absl::Duration kCancelPoll = absl::Seconds(1);

absl::Status ShuttingDown() {
  return Error(absl::StatusCode::kUnavailable, reason::kShuttingDown,
               "the coordinator is shutting down")
      .Hint("the job goes on; ask again in a moment");
}

// Where a reader stands who has read the record, as an opaque text: also its time, for a
// coordinator with other files.
std::string PositionToken(const std::string& job, const LogRecord& record) {
  return MakePageToken("logs",
                       {job, absl::StrCat(record.next.segment), absl::StrCat(record.next.offset),
                        absl::StrCat(absl::ToUnixMicros(record.time))});
}

}  // namespace

absl::StatusOr<LogPosition> JobsService::PositionOf(const std::string& job,
                                                    const std::string& token) {
  if (token.empty()) return LogPosition();
  LogPosition position;
  int64_t micros = 0;
  const auto parts = ReadPageToken("logs", 4, token);
  if (!parts.ok() || parts->at(0) != job || !absl::SimpleAtoi(parts->at(1), &position.segment) ||
      !absl::SimpleAtoi(parts->at(2), &position.offset) ||
      !absl::SimpleAtoi(parts->at(3), &micros) || position.segment < 0 || position.offset < 0) {
    return Error(absl::StatusCode::kInvalidArgument, reason::kInvalidPageToken,
                 absl::StrCat("not a position in the log of ", job))
        .Field("after")
        .Hint(
            "pass the position of the last line that came, unchanged, or none to begin with the "
            "oldest");
  }
  return logs_.Behind(job, position, absl::FromUnixMicros(micros));
}

absl::Status JobsService::Get(const std::string& name, v1::Job& out) {
  return runner_.Read([&](const Core& core, Store&) -> absl::Status {
    SEER_ASSIGN_OR_RETURN(const Job* job, core.Find(name));
    out = ToProto(*job, core, Now());
    SetActivities(*job, out);
    return absl::OkStatus();
  });
}

void JobsService::Estimate(SchedulerInput input, size_t gang, v1::Wait& out) {
  if (const auto in = EstimateStart(std::move(input), gang))
    SetTime(clock_.Now() + *in, out.mutable_estimated_start_time());
}

absl::Status JobsService::GetWithEstimate(const std::string& name, v1::Job& out) {
  SchedulerInput input;
  SEER_RETURN_IF_ERROR(runner_.Read([&](const Core& core, Store&) -> absl::Status {
    SEER_ASSIGN_OR_RETURN(const Job* job, core.Find(name));
    out = ToProto(*job, core, Now());
    SetActivities(*job, out);
    if (Waiting(job->state) && !core.recovering()) input = core.InputAt(Now());
    return absl::OkStatus();
  }));
  for (size_t i = 0; i < input.waiting.size(); ++i) {
    if (absl::StrCat("jobs/", input.waiting[i].job) != out.name()) continue;
    Estimate(std::move(input), i, *out.mutable_wait());
    break;
  }
  return absl::OkStatus();
}

absl::Status JobsService::Plan(const v1::JobSpec& request, v1::PlanJobResponse& out) {
  SEER_ASSIGN_OR_RETURN(const v1::JobSpec spec, maker_.Complete(request));
  Job job;  // without a name: one that is taken is no reason not to plan
  job.numbers = NumbersOf(spec);
  SchedulerInput input;
  SEER_RETURN_IF_ERROR(runner_.Read([&](const Core& core, Store&) -> absl::Status {
    SEER_RETURN_IF_ERROR(core.CheckCreate(job));
    if (const Wait wait = core.WaitForOthers(job); wait.reason != WaitReason::kNone) {
      *out.mutable_wait() = ToProto(wait, job, core);
      return absl::OkStatus();
    }
    if (core.recovering()) {
      return Error(absl::StatusCode::kUnavailable, reason::kShuttingDown,
                   "the coordinator has restarted and waits for its agents")
          .Hint("ask again in a moment");
    }
    input = core.InputAt(Now(), &job);
    const size_t gang = input.waiting.size() - 1;
    const Schedule schedule = MakeSchedule(input);
    *out.mutable_wait() = ToProto(schedule.waits[gang], job, core);
    if (schedule.waits[gang].reason != WaitReason::kNone) return absl::OkStatus();
    std::vector<std::string> names;
    for (const auto& [name, worker] : core.workers()) names.push_back(name);
    for (const GangStart& start : schedule.starts) {
      if (start.gang != gang) continue;
      for (const Share& share : start.placement) {
        for (int i = 0; i < share.devices; ++i) {
          out.add_ranks()->set_rank(out.ranks_size() - 1);
          out.mutable_ranks()->rbegin()->set_worker(
              absl::StrCat("workers/", names[static_cast<size_t>(share.worker)]));
        }
      }
    }
    return absl::OkStatus();
  }));
  if (input.waiting.empty()) return absl::OkStatus();
  const size_t gang = input.waiting.size() - 1;
  Estimate(std::move(input), gang, *out.mutable_wait());
  return absl::OkStatus();
}

absl::Status JobsService::Verb(Command command, v1::Job& out) {
  const Reply reply = runner_.Execute(std::move(command));
  SEER_RETURN_IF_ERROR(reply.status);
  return Get(reply.job, out);
}

absl::Status JobsService::List(const v1::ListJobsRequest& request, v1::ListJobsResponse& out) {
  SEER_ASSIGN_OR_RETURN(const int size, PageSize(request.page_size(), 100, 1000));
  SEER_ASSIGN_OR_RETURN(const auto token, ReadPageToken("jobs", 1, request.page_token()));
  int64_t below = std::numeric_limits<int64_t>::max();
  if (!token.empty() && !absl::SimpleAtoi(token[0], &below))
    return ReadPageToken("jobs", 1, "!").status();
  std::set<JobState> states;
  for (const int state : request.states()) states.insert(static_cast<JobState>(state));
  return runner_.Read([&](const Core& core, Store&) -> absl::Status {
    const std::vector<const Job*> jobs = core.index().Page(states, below, size + 1);
    for (const Job* job : jobs) {
      if (out.jobs_size() < size) *out.add_jobs() = ToProto(*job, core, Now());
    }
    if (static_cast<int>(jobs.size()) > size)
      out.set_next_page_token(
          MakePageToken("jobs", {absl::StrCat(jobs[static_cast<size_t>(size) - 1]->number)}));
    return absl::OkStatus();
  });
}

absl::Status JobsService::Watch(grpc::ServerContext& context, const std::string& name,
                                grpc::ServerWriter<v1::Job>& writer) {
  v1::Job job;
  SEER_RETURN_IF_ERROR(Get(name, job));
  const std::string id = job.name().substr(5);  // a name may come to mean a newer job
  while (true) {
    const uint64_t seen = feed_.Version(id);
    SEER_RETURN_IF_ERROR(Get(id, job));
    if (!writer.Write(job)) return absl::CancelledError("the watcher hung up");
    if (Ended(static_cast<JobState>(job.state()))) return absl::OkStatus();
    while (feed_.Version(id) == seen) {
      if (feed_.stopped()) return ShuttingDown();
      if (context.IsCancelled()) return absl::CancelledError("the watcher hung up");
      feed_.Wait(id, seen, kCancelPoll);
    }
  }
}

absl::Status JobsService::Logs(grpc::ServerContext& context, const v1::ReadLogsRequest& request,
                               grpc::ServerWriter<v1::LogLine>& writer) {
  v1::Job job;
  SEER_RETURN_IF_ERROR(Get(request.name(), job));
  const std::string id = job.name().substr(5);
  BeginStream(context, writer);
  const auto send = [&](const LogRecord& record) {
    v1::LogLine line;
    SetTime(record.time, line.mutable_time());
    line.set_attempt(record.attempt);
    line.set_rank(record.rank);
    line.set_text(record.text);
    line.set_position(PositionToken(id, record));
    return writer.Write(line);
  };
  SEER_ASSIGN_OR_RETURN(LogPosition position, PositionOf(id, request.after()));
  std::vector<LogRecord> tail;  // the last n of what is kept now
  for (bool more = request.tail() > 0; more;) {
    SEER_ASSIGN_OR_RETURN(std::vector<LogRecord> lines, logs_.Read(id, position));
    more = !lines.empty();
    std::move(lines.begin(), lines.end(), std::back_inserter(tail));
    const auto excess = static_cast<int64_t>(tail.size()) - request.tail();
    if (excess > 0) tail.erase(tail.begin(), tail.begin() + excess);
  }
  for (const LogRecord& record : tail) {
    if (!send(record)) return absl::CancelledError("the reader hung up");
  }
  bool ended = false;
  while (true) {
    const uint64_t seen = feed_.Version(id);
    SEER_ASSIGN_OR_RETURN(const std::vector<LogRecord> lines, logs_.Read(id, position));
    for (const LogRecord& record : lines) {
      if (!send(record)) return absl::CancelledError("the reader hung up");
    }
    if (!lines.empty()) continue;
    if (!request.follow() || ended) return absl::OkStatus();
    SEER_RETURN_IF_ERROR(Get(id, job));
    // Then once more, for lines that came just before.
    ended = Ended(static_cast<JobState>(job.state()));
    if (feed_.stopped()) return ShuttingDown();
    if (context.IsCancelled()) return absl::CancelledError("the reader hung up");
    feed_.Wait(id, seen, kCancelPoll);
  }
}

grpc::Status JobsService::CreateJob(grpc::ServerContext*, const v1::CreateJobRequest* request,
                                    v1::Job* out) {
  const auto made = maker_.Make(request->spec(), request->request_id());
  return ToGrpc(made.ok() ? Get(*made, *out) : made.status());
}
grpc::Status JobsService::GetJob(grpc::ServerContext*, const v1::GetJobRequest* request,
                                 v1::Job* out) {
  return ToGrpc(GetWithEstimate(request->name(), *out));
}
grpc::Status JobsService::PlanJob(grpc::ServerContext*, const v1::PlanJobRequest* request,
                                  v1::PlanJobResponse* out) {
  return ToGrpc(Plan(request->spec(), *out));
}
grpc::Status JobsService::ListJobs(grpc::ServerContext*, const v1::ListJobsRequest* request,
                                   v1::ListJobsResponse* out) {
  return ToGrpc(List(*request, *out));
}
grpc::Status JobsService::PauseJob(grpc::ServerContext*, const v1::PauseJobRequest* request,
                                   v1::Job* out) {
  return ToGrpc(Verb(command::PauseJob{request->name(), request->request_id()}, *out));
}
grpc::Status JobsService::ResumeJob(grpc::ServerContext*, const v1::ResumeJobRequest* request,
                                    v1::Job* out) {
  if (request->step() < 0) {
    return ToGrpc(Error(absl::StatusCode::kInvalidArgument, reason::kOutOfRange,
                        absl::StrCat("step is ", request->step(), ", must be at least 0"))
                      .Field("step")
                      .Hint("name the step of a checkpoint; 0 takes the newest"));
  }
  return ToGrpc(
      Verb(command::ResumeJob{request->name(), request->request_id(), request->step()}, *out));
}
grpc::Status JobsService::UpdateJob(grpc::ServerContext*, const v1::UpdateJobRequest* request,
                                    v1::Job* out) {
  const auto updated = maker_.Update(*request);
  return ToGrpc(updated.ok() ? Get(*updated, *out) : updated.status());
}
grpc::Status JobsService::CancelJob(grpc::ServerContext*, const v1::CancelJobRequest* request,
                                    v1::Job* out) {
  return ToGrpc(Verb(command::CancelJob{request->name(), request->request_id()}, *out));
}
grpc::Status JobsService::WatchJob(grpc::ServerContext* context, const v1::WatchJobRequest* request,
                                   grpc::ServerWriter<v1::Job>* writer) {
  return ToGrpc(Watch(*context, request->name(), *writer));
}
grpc::Status JobsService::ListEvents(grpc::ServerContext*, const v1::ListEventsRequest* request,
                                     v1::ListEventsResponse* out) {
  const auto size = PageSize(request->page_size(), 1000, 10000);
  if (!size.ok()) return ToGrpc(size.status());
  return ToGrpc(runner_.Read([&](const Core& core, Store& store) -> absl::Status {
    SEER_ASSIGN_OR_RETURN(const Job* job, core.Find(request->name()));
    SEER_ASSIGN_OR_RETURN(const auto events, store.Events(job->id, request->after_number(), *size));
    for (const Event& event : events) *out->add_events() = ToProto(event);
    return absl::OkStatus();
  }));
}
grpc::Status JobsService::ReadLogs(grpc::ServerContext* context, const v1::ReadLogsRequest* request,
                                   grpc::ServerWriter<v1::LogLine>* writer) {
  return ToGrpc(Logs(*context, *request, *writer));
}

}  // namespace seer::coordinator
