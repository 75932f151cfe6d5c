#include "client/follow.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <chrono>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "client/cli.h"
#include "client/exit_code.h"
#include "client/output.h"
#include "client/progress.h"
#include "common/base/clock.h"
#include "common/base/reasons.h"
#include "common/rpc/channel.h"
#include "common/rpc/status_grpc.h"

namespace seer::client {

bool Ended(v1::JobState state) {
  return state == v1::JOB_STATE_SUCCEEDED || state == v1::JOB_STATE_FAILED ||
         state == v1::JOB_STATE_CANCELLED;
}

namespace {

int ExitCodeOf(const v1::Job& job) {
  if (job.state() == v1::JOB_STATE_SUCCEEDED) return kExitOk;
  if (job.state() == v1::JOB_STATE_CANCELLED) return kExitCancelled;
  return job.state_reason() == reason::kPreempted ? kExitPreempted : kExitFailed;
}

// A last look: with `--timeout 0s` the watch may end before its first message.
bool HasEnded(v1::Jobs::StubInterface& jobs, const std::string& name, v1::Job& job) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(1));
  v1::GetJobRequest request;
  request.set_name(name);
  return jobs.GetJob(&context, request, &job).ok() && Ended(job.state());
}

}  // namespace

bool WentAway(const absl::Status& status) {
  return status.code() == absl::StatusCode::kUnavailable ||
         status.code() == absl::StatusCode::kCancelled ||
         status.code() == absl::StatusCode::kInternal;
}

int FollowJob(v1::Jobs::StubInterface& jobs, const std::string& name, bool show,
              absl::Duration timeout, Interrupt& interrupt, v1::Job& job) {
  const std::string id(absl::StripPrefix(name, "jobs/"));
  const absl::Duration deadline = Clock::Real().Steady() + timeout;
  ProgressView view;
  bool seen = false, said_away = false;
  while (true) {
    grpc::ClientContext context;
    if (timeout != absl::InfiniteDuration())
      context.set_deadline(std::chrono::system_clock::now() +
                           absl::ToChronoMilliseconds(
                               std::max(absl::ZeroDuration(), deadline - Clock::Real().Steady())));
    Interrupt::Scope scope(interrupt, context);
    v1::WatchJobRequest request;
    request.set_name(name);
    auto stream = jobs.WatchJob(&context, request);
    while (stream->Read(&job)) {
      if (said_away) view.Message("the coordinator is back");
      seen = true;
      said_away = false;
      if (show) view.Show(job);
    }
    const absl::Status status = FromGrpc(stream->Finish());
    if (seen && Ended(job.state())) {
      view.Done();
      return ExitCodeOf(job);
    }
    if (interrupt.caught()) {
      view.Done();
      Note(absl::StrCat("detached; the job goes on. Come back with `seer job wait ",
                        show ? "--follow " : "", id, "`, stop it with `seer job cancel ", id, "`"));
      return kExitInterrupted;
    }
    // The call's deadline is ours alone, and its clock may be a moment ahead.
    if (status.code() == absl::StatusCode::kDeadlineExceeded ||
        Clock::Real().Steady() >= deadline) {
      view.Done();
      if (!seen && HasEnded(jobs, name, job)) return ExitCodeOf(job);
      Note(absl::StrCat("the time is up; the job goes on. Come back with `seer job wait ",
                        show ? "--follow " : "", id, "`"));
      return kExitTimeUp;
    }
    const bool away = status.ok() || WentAway(status);
    if (!away || (!seen && !status.ok())) {
      view.Done();
      Fail(ReachStatus("the coordinator", status));
      return status.code() == absl::StatusCode::kNotFound ? kExitNotFound
                                                          : seer::ExitCodeOf(status);
    }
    if (!status.ok() && !said_away)
      view.Message("the coordinator is away; the job trains on, waiting for it");
    said_away = said_away || !status.ok();
    interrupt.SleepFor(kFollowRetry);
  }
}

}  // namespace seer::client
