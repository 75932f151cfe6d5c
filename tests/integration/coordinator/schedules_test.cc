// Schedules over real gRPC and SQLite. Times themselves are tested in cron_test and in the
// simulation; here the clock is the machine's.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/rpc/status_grpc.h"
#include "seer/v1/schedules.grpc.pb.h"
#include "tests/integration/coordinator/cluster.h"
#include "tests/support/status_matchers.h"

namespace seer::testing {
namespace {

using absl::StatusCode;
using ::testing::HasSubstr;

class SchedulesTest : public ::testing::Test {
 protected:
  SchedulesTest() { Dial(); }
  void Dial() {
    stub_ = v1::Schedules::NewStub(grpc::CreateChannel(absl::StrCat("127.0.0.1:", cluster_.port()),
                                                       grpc::InsecureChannelCredentials()));
  }
  template <typename Request, typename Response>
  absl::StatusOr<Response> Call(grpc::Status (v1::Schedules::Stub::*method)(grpc::ClientContext*,
                                                                            const Request&,
                                                                            Response*),
                                const Request& request) {
    return CallStub(*stub_, method, request);
  }
  static v1::Schedule Nightly(const std::string& cron = "0 3 * * *") {
    v1::Schedule schedule;
    schedule.set_name("schedules/nightly");
    schedule.set_cron(cron);
    *schedule.mutable_spec() = SmallSpec("", 1);
    return schedule;
  }
  absl::StatusOr<v1::Schedule> Create(const v1::Schedule& schedule) {
    v1::CreateScheduleRequest request;
    *request.mutable_schedule() = schedule;
    return Call(&v1::Schedules::Stub::CreateSchedule, request);
  }
  absl::StatusOr<v1::Schedule> Get(const std::string& name) {
    v1::GetScheduleRequest request;
    request.set_name(name);
    return Call(&v1::Schedules::Stub::GetSchedule, request);
  }
  absl::StatusOr<v1::Schedule> Update(const v1::Schedule& schedule,
                                      const std::vector<std::string>& fields) {
    v1::UpdateScheduleRequest request;
    *request.mutable_schedule() = schedule;
    for (const std::string& field : fields) request.mutable_update_mask()->add_paths(field);
    return Call(&v1::Schedules::Stub::UpdateSchedule, request);
  }

  Cluster cluster_;
  std::unique_ptr<v1::Schedules::Stub> stub_;
};

TEST_F(SchedulesTest, AreMadeListedChangedAndDeleted) {
  ASSERT_OK_AND_ASSIGN(const v1::Schedule made, Create(Nightly()));
  EXPECT_EQ(made.name(), "schedules/nightly");
  EXPECT_EQ(made.overlap(), v1::OVERLAP_POLICY_SKIP);
  EXPECT_EQ(made.next_time().seconds() % 86400, 3 * 3600);
  EXPECT_FALSE(made.has_last_time());
  EXPECT_THAT(Create(Nightly()),
              FailsWith(StatusCode::kAlreadyExists, reason::kScheduleExists, "nightly"));
  v1::Schedule other = Nightly("@hourly");
  other.set_name("schedules/other");
  ASSERT_OK(Create(other));
  v1::ListSchedulesRequest list;
  list.set_page_size(1);
  ASSERT_OK_AND_ASSIGN(const auto first, Call(&v1::Schedules::Stub::ListSchedules, list));
  ASSERT_EQ(first.schedules_size(), 1);
  list.set_page_token(first.next_page_token());
  ASSERT_OK_AND_ASSIGN(const auto second, Call(&v1::Schedules::Stub::ListSchedules, list));
  EXPECT_EQ(second.schedules(0).name(), "schedules/other");
  EXPECT_EQ(second.next_page_token(), "");

  v1::Schedule change = Nightly("@daily");
  change.set_etag(made.etag());
  change.set_suspended(true);
  change.set_overlap(v1::OVERLAP_POLICY_REPLACE);
  ASSERT_OK_AND_ASSIGN(const v1::Schedule changed, Update(change, {"suspended", "overlap"}));
  EXPECT_EQ(changed.cron(), "0 3 * * *") << "what is not named stays";
  EXPECT_FALSE(changed.has_next_time());
  EXPECT_THAT(Update(change, {"cron"}),
              FailsWith(StatusCode::kAborted, reason::kEtagMismatch, "meanwhile"));
  cluster_.Restart();
  Dial();
  ASSERT_OK_AND_ASSIGN(const v1::Schedule stored, Get("nightly"));
  EXPECT_TRUE(stored.suspended());
  EXPECT_EQ(stored.overlap(), v1::OVERLAP_POLICY_REPLACE);
  EXPECT_EQ(stored.spec().data().pool(), "cats");
  v1::DeleteScheduleRequest remove;
  remove.set_name("nightly");
  remove.set_etag(made.etag());
  EXPECT_THAT(Call(&v1::Schedules::Stub::DeleteSchedule, remove),
              FailsWith(StatusCode::kAborted, reason::kEtagMismatch, ""));
  remove.clear_etag();
  EXPECT_OK(Call(&v1::Schedules::Stub::DeleteSchedule, remove));
  EXPECT_THAT(Get("nightly"),
              FailsWith(StatusCode::kNotFound, reason::kScheduleNotFound, "nightly"));
}

TEST_F(SchedulesTest, RefuseWhatCannotBe) {
  EXPECT_THAT(Create(Nightly("0 3 * *")),
              FailsWith(StatusCode::kInvalidArgument, reason::kOutOfRange, "4 fields"));
  EXPECT_THAT(Create(Nightly("0 0 30 2 *")),
              FailsWith(StatusCode::kInvalidArgument, reason::kOutOfRange, "never comes"));
  v1::Schedule schedule = Nightly();
  schedule.mutable_spec()->mutable_metadata()->set_name("mine");
  EXPECT_THAT(Create(schedule),
              FailsWith(StatusCode::kInvalidArgument, reason::kOutOfRange, "metadata.name"));
  schedule = Nightly();
  schedule.mutable_spec()->mutable_optim()->set_steps(-1);
  EXPECT_THAT(Create(schedule),
              FailsWith(StatusCode::kInvalidArgument, reason::kOutOfRange, "optim.steps"));
  schedule = Nightly();
  schedule.set_name("schedules/No");
  EXPECT_THAT(Create(schedule),
              FailsWith(StatusCode::kInvalidArgument, reason::kOutOfRange, "schedule.name"));
  ASSERT_OK(Create(Nightly()));
  EXPECT_THAT(Update(Nightly("x"), {"cron"}),
              FailsWith(StatusCode::kInvalidArgument, reason::kOutOfRange, "1 fields"));
  EXPECT_THAT(Update(Nightly(), {"name"}),
              FailsWith(StatusCode::kInvalidArgument, reason::kInvalidArgument, "'name'"));
  EXPECT_THAT(Update(Nightly(), {}),
              FailsWith(StatusCode::kInvalidArgument, reason::kMissingField, "update_mask"));
}

}  // namespace
}  // namespace seer::testing
