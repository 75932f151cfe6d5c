// Following a job to its end, against a server that says what it is told to.
#include "client/follow.h"

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <deque>
#include <memory>
#include <utility>

#include "absl/synchronization/mutex.h"
#include "client/exit_code.h"

namespace seer::client {
namespace {

using ::testing::HasSubstr;

// One call of WatchJob: states to send, and how the stream ends.
struct Call {
  std::vector<v1::JobState> states;
  grpc::Status end;
  bool stay = false;  // until the caller goes away
};

class ScriptedJobs final : public v1::Jobs::Service {
 public:
  explicit ScriptedJobs(std::deque<Call> calls) : calls_(std::move(calls)) {}
  grpc::Status WatchJob(grpc::ServerContext* context, const v1::WatchJobRequest* request,
                        grpc::ServerWriter<v1::Job>* writer) override {
    Call call;
    {
      absl::MutexLock lock(&mu_);
      if (calls_.empty()) return grpc::Status(grpc::StatusCode::INTERNAL, "one call too many");
      call = calls_.front();
      calls_.pop_front();
    }
    for (const v1::JobState state : call.states) {
      v1::Job job;
      job.set_name(request->name());
      job.set_state(state);
      job.set_state_reason(reason);
      writer->Write(job);
    }
    if (call.stay && signal_on_stay) ::kill(::getpid(), SIGINT);
    while (call.stay && !context->IsCancelled()) absl::SleepFor(absl::Milliseconds(2));
    return call.end;
  }
  grpc::Status GetJob(grpc::ServerContext*, const v1::GetJobRequest* request,
                      v1::Job* job) override {
    job->set_name(request->name());
    job->set_state(now);
    return grpc::Status::OK;
  }
  v1::JobState now = v1::JOB_STATE_RUNNING;
  std::string reason;           // of every state
  bool signal_on_stay = false;  // Ctrl-C, once the watch is under way

 private:
  absl::Mutex mu_;
  std::deque<Call> calls_ ABSL_GUARDED_BY(mu_);
};

struct Outcome {
  int code;
  std::string notes;
  v1::JobState state;
};

Outcome Follow(std::deque<Call> calls, absl::Duration timeout = absl::InfiniteDuration(),
               bool interrupted = false, v1::JobState now = v1::JOB_STATE_RUNNING,
               const std::string& reason = "") {
  Interrupt interrupt;  // first: the threads of gRPC must not take the signal
  ScriptedJobs service(std::move(calls));
  service.signal_on_stay = interrupted;
  service.now = now;
  service.reason = reason;
  grpc::ServerBuilder builder;
  builder.RegisterService(&service);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  const auto stub = v1::Jobs::NewStub(server->InProcessChannel({}));
  v1::Job job;
  ::testing::internal::CaptureStderr();
  const int code = FollowJob(*stub, "jobs/job_ab12cd34", true, timeout, interrupt, job);
  const std::string notes = ::testing::internal::GetCapturedStderr();
  server->Shutdown(std::chrono::system_clock::now());
  return {code, notes, job.state()};
}

const grpc::Status kAway(grpc::StatusCode::UNAVAILABLE, "connection refused");

TEST(Follow, TheExitCodeSaysHowTheJobEnded) {
  for (const auto& [state, code] :
       {std::pair(v1::JOB_STATE_SUCCEEDED, kExitOk), std::pair(v1::JOB_STATE_FAILED, kExitFailed),
        std::pair(v1::JOB_STATE_CANCELLED, kExitCancelled)}) {
    const Outcome outcome = Follow({{{v1::JOB_STATE_RUNNING, state}, grpc::Status::OK}});
    EXPECT_EQ(outcome.code, code);
    EXPECT_EQ(outcome.state, state);
  }
  const std::deque<Call> failed = {{{v1::JOB_STATE_RUNNING, v1::JOB_STATE_FAILED}, {}}};
  EXPECT_EQ(
      Follow(failed, absl::InfiniteDuration(), false, v1::JOB_STATE_RUNNING, "PREEMPTED").code,
      kExitPreempted);
}

TEST(Follow, AnUnknownJobIsNotFound) {
  const Outcome outcome = Follow({{{}, {grpc::StatusCode::NOT_FOUND, "no job"}}});
  EXPECT_EQ(outcome.code, kExitNotFound);
  EXPECT_THAT(outcome.notes, HasSubstr("no job"));
}

TEST(Follow, ACoordinatorThatWasNeverThereIsUnreachable) {
  const Outcome outcome = Follow({{{}, kAway}});
  EXPECT_EQ(outcome.code, kExitUnreachable);
  EXPECT_THAT(outcome.notes, HasSubstr("cannot reach the coordinator"));
  EXPECT_THAT(outcome.notes, HasSubstr("hint:"));
}

TEST(Follow, ARestartOfTheCoordinatorIsSurvivedAndSaidOnce) {
  const Outcome outcome = Follow({{{v1::JOB_STATE_RUNNING}, kAway},
                                  {{}, kAway},
                                  {{v1::JOB_STATE_RUNNING, v1::JOB_STATE_SUCCEEDED}, {}}});
  EXPECT_EQ(outcome.code, kExitOk);
  const size_t away = outcome.notes.find("the coordinator is away");
  ASSERT_NE(away, std::string::npos) << outcome.notes;
  EXPECT_EQ(outcome.notes.find("the coordinator is away", away + 1), std::string::npos);
  EXPECT_THAT(outcome.notes, HasSubstr("the coordinator is back"));
}

TEST(Follow, WhenTheTimeIsUpItSaysHowToComeBack) {
  const Outcome outcome = Follow({{{v1::JOB_STATE_RUNNING}, {}, true}}, absl::Milliseconds(200));
  EXPECT_EQ(outcome.code, kExitTimeUp);
  EXPECT_THAT(outcome.notes, HasSubstr("seer job wait --follow job_ab12cd34"));
}

TEST(Follow, ATimeoutOfZeroIsALookAtTheJob) {
  const std::deque<Call> silent = {{{}, {}, true}};
  EXPECT_EQ(Follow(silent, absl::ZeroDuration()).code, kExitTimeUp);
  EXPECT_EQ(Follow(silent, absl::ZeroDuration(), false, v1::JOB_STATE_SUCCEEDED).code, kExitOk);
  EXPECT_EQ(Follow(silent, absl::ZeroDuration(), false, v1::JOB_STATE_FAILED).code, kExitFailed);
}

TEST(Follow, CtrlCDetaches) {
  const Outcome outcome =
      Follow({{{v1::JOB_STATE_RUNNING}, {}, true}}, absl::InfiniteDuration(), true);
  EXPECT_EQ(outcome.code, kExitInterrupted);
  EXPECT_THAT(outcome.notes, HasSubstr("detached; the job goes on"));
  EXPECT_THAT(outcome.notes, HasSubstr("seer job wait --follow job_ab12cd34"));
  EXPECT_THAT(outcome.notes, HasSubstr("seer job cancel job_ab12cd34"));
}

}  // namespace
}  // namespace seer::client
