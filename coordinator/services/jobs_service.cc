#include "coordinator/services/jobs_service.h"

#include <google/protobuf/util/message_differencer.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <set>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/philox.h"
#include "common/base/status_macros.h"
#include "common/rpc/status_grpc.h"
#include "common/spec/defaults.h"
#include "common/spec/validate.h"
#include "coordinator/core/data_plan.h"
#include "coordinator/core/job_states.h"
#include "coordinator/services/activities.h"
#include "coordinator/services/convert.h"
#include "coordinator/services/page_token.h"

namespace seer::coordinator {
namespace {

// How soon a watcher that hung up is noticed.
constexpr absl::Duration kCancelPoll = absl::Seconds(1);

uint64_t IdSeed(const std::string& request_id) {
  if (!request_id.empty()) return StableHash(request_id);
  std::random_device random;
  return (static_cast<uint64_t>(random()) << 32) | random();
}

// An epoch is as many steps as the generation has whole batches for, rounded up.
void SetQueueStart(v1::JobSpec& spec, int64_t images) {
  v1::SwavSpec& swav = *spec.mutable_loss()->mutable_swav();
  if (swav.queue_start_epoch() <= 0) return;
  const double batches =
      static_cast<double>(images) / static_cast<double>(spec.data().global_batch());
  swav.set_queue_start_step(static_cast<int64_t>(std::ceil(swav.queue_start_epoch() * batches)));
}

// A job of `spec` can begin with the checkpoint at `step` of one of `trained`.
absl::Status CheckStart(const v1::JobSpec& spec, const v1::JobSpec& trained, int64_t step) {
  using google::protobuf::util::MessageDifferencer;
  const auto mismatch = [&](const char* field, const std::string& what) -> absl::Status {
    return Error(absl::StatusCode::kFailedPrecondition, reason::kCheckpointMismatch,
                 absl::StrCat(spec.checkpoint().start_from(), " is of another ", what))
        .Field(field)
        .Hint(absl::StrCat("take ", field,
                           " from the job that wrote it, or leave "
                           "checkpoint.startFrom out"))
        .With("checkpoint", spec.checkpoint().start_from());
  };
  if (!MessageDifferencer::Equals(spec.model().trunk(), trained.model().trunk()))
    return mismatch("model.trunk", "trunk");
  if (!MessageDifferencer::Equals(spec.model().head(), trained.model().head()))
    return mismatch("model.head", "head");
  const v1::SwavSpec& loss = spec.loss().swav();
  const v1::SwavSpec& before = trained.loss().swav();
  if (loss.prototypes() != before.prototypes())
    return mismatch("loss.swav.prototypes",
                    absl::StrCat("number of prototypes, ", before.prototypes()));
  if (loss.queue_length() != before.queue_length())
    return mismatch("loss.swav.queueLength",
                    absl::StrCat("length of the queue, ", before.queue_length()));
  if (spec.optim().kind() != trained.optim().kind()) return mismatch("optim.kind", "optimiser");
  if (spec.optim().ema_decay() > 0 && trained.optim().ema_decay() == 0)
    return mismatch("optim.emaDecay", "kind: without a mean of the weights");
  if (spec.optim().steps() > step) return absl::OkStatus();
  return Error(absl::StatusCode::kInvalidArgument, reason::kOutOfRange,
               absl::StrCat("optim.steps is ", spec.optim().steps(),
                            ", and the job starts at step ", step))
      .Field("optim.steps")
      .Hint(absl::StrCat("set optim.steps to more than ", step));
}

absl::Status ShuttingDown() {
  return Error(absl::StatusCode::kUnavailable, reason::kShuttingDown,
               "the coordinator is shutting down")
      .Hint("the job goes on; ask again in a moment");
}

}  // namespace

absl::Status JobsService::Get(const std::string& name, v1::Job& out) {
  return runner_.Read([&](const Core& core, Store&) -> absl::Status {
    SEER_ASSIGN_OR_RETURN(const Job* job, core.Find(name));
    out = ToProto(*job, core, Now());
    SetActivities(*job, out);
    return absl::OkStatus();
  });
}

// An evaluation is of the checkpoint's own network, unless its spec says otherwise.
absl::Status JobsService::TakeModelOfCheckpoint(v1::JobSpec& spec) {
  return runner_.Read([&](const Core& core, Store&) -> absl::Status {
    SEER_ASSIGN_OR_RETURN(const Checkpoint* checkpoint,
                          core.FindCheckpoint(spec.eval().checkpoint()));
    spec.mutable_eval()->set_checkpoint(
        absl::StrCat("jobs/", checkpoint->job, "/checkpoints/", checkpoint->step));
    v1::JobSpec trained;
    trained.ParseFromString(core.jobs().at(checkpoint->job).spec);
    if (!spec.has_model()) *spec.mutable_model() = trained.model();
    if (!spec.has_augment()) *spec.mutable_augment() = trained.augment();
    return absl::OkStatus();
  });
}

// Every way in which the registry can tell that a job cannot go on with what another one trained:
// better than when its ranks have started.
absl::Status JobsService::TakeStart(v1::JobSpec& spec) {
  return runner_.Read([&](const Core& core, Store&) -> absl::Status {
    v1::CheckpointSpec& own = *spec.mutable_checkpoint();
    const auto found = core.FindCheckpoint(own.start_from());
    if (!found.ok()) return found.status();
    const Checkpoint& checkpoint = **found;
    own.set_start_from(CheckpointName({checkpoint.job, checkpoint.step}));
    v1::JobSpec trained;
    trained.ParseFromString(core.jobs().at(checkpoint.job).spec);
    if (!spec.has_model()) *spec.mutable_model() = trained.model();
    FillDefaults(spec);
    if (checkpoint.corrupt) {
      return Error(absl::StatusCode::kDataLoss, reason::kCheckpointCorrupt,
                   absl::StrCat(own.start_from(), " is damaged"))
          .Field("checkpoint.startFrom")
          .Hint("choose another; `seer checkpoint list` shows them");
    }
    return CheckStart(spec, trained, checkpoint.step);
  });
}

absl::StatusOr<std::vector<PlanEntry>> JobsService::PlanFor(v1::JobSpec& spec) {
  const auto look = [&](const std::string& pool, std::optional<int64_t> generation,
                        const char* field, bool labels) -> absl::StatusOr<PoolInfo> {
    SEER_ASSIGN_OR_RETURN(const PoolInfo info, pools_.Get(pool, generation));
    if (info.generation == 0 || info.images == 0) {
      return Error(absl::StatusCode::kFailedPrecondition, reason::kPoolEmpty,
                   absl::StrCat("pool '", pool, "' has no images"))
          .Field(field)
          .Hint(absl::StrCat("fill it first: `seer pool ingest ", pool, " DIR`"))
          .With("pool", pool);
    }
    if (labels && info.labelled_images == 0) {
      return Error(absl::StatusCode::kFailedPrecondition, reason::kNoLabels,
                   absl::StrCat("pool '", pool, "' has no labels"))
          .Field(field)
          .Hint("ingest it with labels from folders, or from .cls members of tar shards")
          .With("pool", pool);
    }
    return info;
  };
  if (spec.kind() == v1::JOB_KIND_EVAL_KNN) {
    SEER_ASSIGN_OR_RETURN(const PoolInfo train,
                          look(spec.eval().train_pool(), std::nullopt, "eval.trainPool", true));
    SEER_ASSIGN_OR_RETURN(const PoolInfo test,
                          look(spec.eval().test_pool(), std::nullopt, "eval.testPool", true));
    return EvaluationPlan(train.generation, test.generation);
  }
  const auto wanted = spec.data().has_generation()
                          ? std::optional<int64_t>(spec.data().generation())
                          : std::nullopt;
  SEER_ASSIGN_OR_RETURN(const PoolInfo pool, look(spec.data().pool(), wanted, "data.pool", false));
  SetQueueStart(spec, pool.images);
  return TrainingPlan(pool.generation);
}

absl::StatusOr<v1::JobSpec> JobsService::Complete(const v1::JobSpec& given) {
  v1::JobSpec spec = given;
  if (spec.kind() == v1::JOB_KIND_EVAL_KNN && !spec.eval().checkpoint().empty()) {
    SEER_RETURN_IF_ERROR(TakeModelOfCheckpoint(spec));
  } else if (!spec.checkpoint().start_from().empty()) {
    SEER_RETURN_IF_ERROR(TakeStart(spec));
  }
  FillDefaults(spec);
  SEER_RETURN_IF_ERROR(ValidateJobSpec(spec));
  return spec;
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
  SEER_ASSIGN_OR_RETURN(const v1::JobSpec spec, Complete(request));
  Job job;  // without a name: one that is taken is no reason not to plan
  job.numbers = NumbersOf(spec);
  SchedulerInput input;
  SEER_RETURN_IF_ERROR(runner_.Read([&](const Core& core, Store&) -> absl::Status {
    SEER_RETURN_IF_ERROR(core.CheckCreate(job));
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
  const size_t gang = input.waiting.size() - 1;
  Estimate(std::move(input), gang, *out.mutable_wait());
  return absl::OkStatus();
}

absl::Status JobsService::Create(const v1::CreateJobRequest& request, v1::Job& out) {
  std::string earlier;
  SEER_RETURN_IF_ERROR(runner_.Read([&](const Core& core, Store&) {
    earlier = core.CreatedBy(request.request_id());
    return absl::OkStatus();
  }));
  if (!earlier.empty()) return Get(earlier, out);

  SEER_ASSIGN_OR_RETURN(v1::JobSpec spec, Complete(request.spec()));
  command::CreateJob create;
  const std::string recipe = RecipeDigest(spec);  // what the pool's size sets is no part of it
  SEER_ASSIGN_OR_RETURN(create.job.plan, PlanFor(spec));
  create.job.name = spec.metadata().name();
  create.job.numbers = NumbersOf(spec);
  create.job.numbers.recipe = recipe;
  create.job.spec = spec.SerializeAsString();
  create.request_id = request.request_id();
  create.id_seed = IdSeed(request.request_id());
  return Verb(std::move(create), out);
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
  std::set<int> states(request.states().begin(), request.states().end());
  return runner_.Read([&](const Core& core, Store&) -> absl::Status {
    std::vector<const Job*> jobs;
    for (const auto& [id, job] : core.jobs()) {
      if (job.number < below && (states.empty() || states.contains(static_cast<int>(job.state))))
        jobs.push_back(&job);
    }
    std::sort(jobs.begin(), jobs.end(),
              [](const Job* a, const Job* b) { return a->number > b->number; });
    for (const Job* job : jobs) {
      if (out.jobs_size() == size) {
        below = jobs[static_cast<size_t>(size) - 1]->number;
        out.set_next_page_token(MakePageToken("jobs", {absl::StrCat(below)}));
        break;
      }
      *out.add_jobs() = ToProto(*job, core, Now());
    }
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
  const auto send = [&](const LogRecord& record) {
    v1::LogLine line;
    SetTime(record.time, line.mutable_time());
    line.set_attempt(record.attempt);
    line.set_rank(record.rank);
    line.set_text(record.text);
    return writer.Write(line);
  };
  LogPosition position;
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
  return ToGrpc(Create(*request, *out));
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
