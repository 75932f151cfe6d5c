// Profiles over real gRPC, with agents and trainers played by the test.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "absl/strings/str_cat.h"
#include "common/base/trainer_exit.h"
#include "common/rpc/channel.h"
#include "common/rpc/status_grpc.h"
#include "seer/v1/profiles.grpc.pb.h"
#include "tests/integration/coordinator/cluster.h"
#include "tests/support/status_matchers.h"

namespace seer::testing {
namespace {

using absl::StatusCode;
using internal::v1::Assign;

class ProfilesTest : public ::testing::Test {
 protected:
  struct Watched {
    absl::Status status;
    std::vector<v1::Profile> profiles;
    std::vector<v1::RankTrace> traces;
  };

  ProfilesTest() : agent_(cluster_.port(), {}) { Connect(); }
  void Connect() {
    stub_ = v1::Profiles::NewStub(MakeChannel({absl::StrCat("127.0.0.1:", cluster_.port())}));
  }
  void Run(const std::string& name) {
    ASSERT_OK(cluster_.Create(SmallSpec(name)));
    for (int rank = 0; rank < 2; ++rank) {
      ranks_.push_back(agent_.NextAssign());
      agent_.Started(ranks_.back());
    }
    cluster_.WaitFor(name, v1::JOB_STATE_RUNNING);
  }
  absl::StatusOr<v1::Profile> Ask(const std::string& job, int steps, const std::string& id = "") {
    v1::CreateProfileRequest request;
    request.set_job(job);
    request.set_steps(steps);
    request.set_request_id(id);
    v1::Profile profile;
    grpc::ClientContext context;
    const absl::Status status = FromGrpc(stub_->CreateProfile(&context, request, &profile));
    if (!status.ok()) return status;
    return profile;
  }
  Watched Watch(const std::string& name) {
    v1::WatchProfileRequest request;
    request.set_name(name);
    grpc::ClientContext context;
    const auto stream = stub_->WatchProfile(&context, request);
    Watched watched;
    v1::WatchProfileResponse response;
    while (stream->Read(&response)) {
      if (response.has_profile()) watched.profiles.push_back(response.profile());
      if (response.has_trace()) watched.traces.push_back(response.trace());
    }
    watched.status = FromGrpc(stream->Finish());
    return watched;
  }
  internal::v1::ReportProgressResponse Progress(const Assign& rank, int64_t step,
                                                int64_t profile = 0, int64_t first = 0) {
    internal::v1::ReportProgressRequest request;
    request.set_attempt_id(rank.attempt_id());
    request.set_job(rank.job());
    request.set_step(step);
    request.set_profile(profile);
    request.set_profile_first_step(first);
    internal::v1::ReportProgressResponse response;
    grpc::ClientContext context;
    EXPECT_OK(FromGrpc(cluster_.trainers->ReportProgress(&context, request, &response)));
    return response;
  }
  absl::Status Report(const Assign& rank, int64_t profile, const std::string& trace) {
    internal::v1::ReportProfileRequest request;
    request.set_attempt_id(rank.attempt_id());
    request.set_job(rank.job());
    request.set_rank(rank.rank());
    request.set_profile(profile);
    request.set_first_step(5);
    request.set_trace(trace);
    internal::v1::ReportProfileResponse response;
    grpc::ClientContext context;
    return FromGrpc(cluster_.trainers->ReportProfile(&context, request, &response));
  }
  static std::string Trace(const std::string& text) {
    v1::RankTrace trace;
    trace.add_texts(text);
    trace.add_spans()->set_name(1);
    return trace.SerializeAsString();
  }

  Cluster cluster_;
  FakeAgent agent_;
  std::unique_ptr<v1::Profiles::Stub> stub_;
  std::vector<Assign> ranks_;
};

TEST_F(ProfilesTest, GoesFromTheRequestToTheTracesOfAllRanks) {
  Run("traced");
  ASSERT_OK_AND_ASSIGN(const v1::Profile asked, Ask("traced", 3, "a"));
  EXPECT_EQ(asked.name().substr(0, asked.name().find("/profiles/")), ranks_[0].job());
  EXPECT_EQ(asked.state(), v1::PROFILE_STATE_REQUESTED);
  EXPECT_EQ(asked.attempt(), 1);
  EXPECT_EQ(asked.steps(), 3);
  EXPECT_EQ(asked.ranks(), 2);
  EXPECT_EQ((*Ask("traced", 3, "a")).name(), asked.name());
  EXPECT_THAT(Ask("traced", 3, "b"),
              FailsWith(StatusCode::kFailedPrecondition, reason::kProfileRunning, "has not ended"));

  Watched watched;
  std::thread watcher([&] { watched = Watch(asked.name()); });
  const internal::v1::ReportProgressResponse told = Progress(ranks_[0], 4);
  EXPECT_GT(told.profile(), 0);
  EXPECT_EQ(told.profile_steps(), 3);
  EXPECT_EQ(Progress(ranks_[0], 7, told.profile(), 5).profile(), 0);
  EXPECT_THAT(Report(ranks_[0], told.profile(), "\xff\xff"),
              FailsWith(StatusCode::kInvalidArgument, reason::kInvalidArgument, "cannot be read"));
  EXPECT_THAT(Report(ranks_[0], told.profile() + 1, Trace("x")),
              FailsWith(StatusCode::kNotFound, reason::kProfileNotFound, ""));
  EXPECT_OK(Report(ranks_[1], told.profile(), Trace("one")));
  EXPECT_OK(Report(ranks_[0], told.profile(), Trace("zero")));
  watcher.join();
  ASSERT_OK(watched.status);
  const v1::Profile& done = watched.profiles.back();
  EXPECT_EQ(done.state(), v1::PROFILE_STATE_DONE);
  EXPECT_EQ(done.first_step(), 5);
  EXPECT_EQ(done.steps_done(), 3);
  EXPECT_EQ(done.ranks_received(), 2);
  ASSERT_EQ(watched.traces.size(), 2u);
  EXPECT_EQ(watched.traces[0].rank(), 0);
  EXPECT_EQ(watched.traces[0].texts(0), "zero");
  EXPECT_EQ(watched.traces[1].rank(), 1);
  EXPECT_EQ(watched.traces[1].texts(0), "one");
  EXPECT_EQ(watched.traces[1].worker(), "workers/w1");
  EXPECT_EQ(Watch(asked.name()).traces.size(), 2u) << "it is kept";
}

TEST_F(ProfilesTest, EndsWithItsAttemptAndTheCoordinator) {
  Run("short");
  ASSERT_OK_AND_ASSIGN(const v1::Profile asked, Ask("short", 3));
  Watched watched;
  std::thread watcher([&] { watched = Watch(asked.name()); });
  agent_.Exited(ranks_[0], 0);
  agent_.Exited(ranks_[1], 0);
  cluster_.WaitFor("short", v1::JOB_STATE_SUCCEEDED);
  watcher.join();
  ASSERT_OK(watched.status);
  EXPECT_EQ(watched.profiles.back().state(), v1::PROFILE_STATE_FAILED);
  EXPECT_EQ(watched.profiles.back().state_reason(), "PROFILE_INTERRUPTED");
  EXPECT_THAT(watched.profiles.back().state_message(), ::testing::HasSubstr("attempt 1"));
  EXPECT_TRUE(watched.traces.empty());
  cluster_.Restart();
  Connect();
  EXPECT_THAT(Watch(asked.name()).status,
              FailsWith(StatusCode::kNotFound, reason::kProfileNotFound, "no profile"));
}

TEST_F(ProfilesTest, RefusesWhatCannotBeProfiled) {
  EXPECT_THAT(Ask("nobody", 3), FailsWith(StatusCode::kNotFound, reason::kJobNotFound, "nobody"));
  ASSERT_OK(cluster_.Create(SmallSpec("large", 2)));
  agent_.NextAssign();
  EXPECT_THAT(Ask("large", 3),
              FailsWith(StatusCode::kFailedPrecondition, reason::kWrongJobState, "STARTING"));
  for (int steps : {-1, 0, 51}) {
    EXPECT_THAT(Ask("large", steps),
                FailsWith(StatusCode::kInvalidArgument, reason::kOutOfRange, ""));
  }
  EXPECT_THAT(Watch("jobs/x/profiles/1").status,
              FailsWith(StatusCode::kNotFound, reason::kProfileNotFound, ""));
  EXPECT_THAT(Watch("nonsense").status,
              FailsWith(StatusCode::kNotFound, reason::kProfileNotFound, ""));
}

TEST_F(ProfilesTest, AWatcherIsToldThatTheCoordinatorStops) {
  Run("stopped");
  ASSERT_OK_AND_ASSIGN(const v1::Profile asked, Ask("stopped", 3));
  v1::WatchProfileRequest request;
  request.set_name(asked.name());
  grpc::ClientContext context;
  const auto stream = stub_->WatchProfile(&context, request);
  v1::WatchProfileResponse response;
  ASSERT_TRUE(stream->Read(&response));
  cluster_.Stop();
  while (stream->Read(&response)) {
  }
  EXPECT_THAT(FromGrpc(stream->Finish()),
              FailsWith(StatusCode::kUnavailable, reason::kShuttingDown, ""));
}

}  // namespace
}  // namespace seer::testing
