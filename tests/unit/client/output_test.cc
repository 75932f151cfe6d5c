// What commands print, and how they exit.
#include "client/output.h"

#include <gmock/gmock.h>
#include <google/protobuf/timestamp.pb.h>
#include <gtest/gtest.h>
#include <yaml-cpp/yaml.h>

#include <limits>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "client/exit_code.h"
#include "common/base/error.h"
#include "seer/v1/jobs.pb.h"

namespace seer::client {
namespace {

using google::protobuf::Message;
using ::testing::internal::CaptureStderr;
using ::testing::internal::CaptureStdout;
using ::testing::internal::GetCapturedStderr;
using ::testing::internal::GetCapturedStdout;

v1::Job MakeJob(const std::string& id, v1::JobState state, int64_t checkpoint) {
  v1::Job job;
  job.set_name("jobs/" + id);
  job.mutable_spec()->mutable_metadata()->set_name(id + "-name");
  job.set_state(state);
  job.set_last_checkpoint_step(checkpoint);
  job.mutable_create_time()->set_seconds(1614556800);
  return job;
}

const v1::Job& As(const Message& m) { return static_cast<const v1::Job&>(m); }
const std::vector<Column> kColumns = {
    {"ID", [](const Message& m) { return As(m).name(); }},
    {"CHECKPOINT", [](const Message& m) { return absl::StrCat(As(m).last_checkpoint_step()); },
     true},
    {"STATE", [](const Message& m) { return v1::JobState_Name(As(m).state()); }}};

class OutputTest : public ::testing::Test {
 protected:
  std::string List(OutputForm form) const {
    CaptureStdout();
    PrintList(form, {&a_, &b_}, kColumns);
    return GetCapturedStdout();
  }
  std::string One(OutputForm form) const {
    CaptureStdout();
    PrintOne(form, a_, {{"Job", "job_a"}, {"Absent", ""}, {"Long key", "value"}});
    return GetCapturedStdout();
  }
  const v1::Job a_ = MakeJob("job_a", v1::JOB_STATE_RUNNING, 40);
  const v1::Job b_ = MakeJob("job_longer", v1::JOB_STATE_FAILED, 0);
};

TEST_F(OutputTest, TablesAreAlignedAndWideHasMoreColumns) {
  EXPECT_EQ(List(OutputForm::kTable),
            "ID               STATE\n"
            "jobs/job_a       JOB_STATE_RUNNING\n"
            "jobs/job_longer  JOB_STATE_FAILED\n");
  EXPECT_EQ(List(OutputForm::kWide),
            "ID               CHECKPOINT  STATE\n"
            "jobs/job_a       40          JOB_STATE_RUNNING\n"
            "jobs/job_longer  0           JOB_STATE_FAILED\n");
}

TEST_F(OutputTest, AnEmptyListStillHasItsForm) {
  const auto print = [](OutputForm form) {
    CaptureStdout();
    PrintList(form, {}, kColumns);
    return GetCapturedStdout();
  };
  EXPECT_EQ(print(OutputForm::kTable), "ID  STATE\n");
  EXPECT_EQ(print(OutputForm::kJson), "[]\n");
  EXPECT_EQ(print(OutputForm::kYaml), "[]\n");
  EXPECT_EQ(print(OutputForm::kJsonl), "");
  EXPECT_EQ(print(OutputForm::kName), "");
}

TEST_F(OutputTest, JsonIsTheProto3JsonOfTheMessages) {
  const auto list = nlohmann::json::parse(List(OutputForm::kJson));
  ASSERT_TRUE(list.is_array());
  ASSERT_EQ(list.size(), 2u);
  EXPECT_EQ(list[0]["name"], "jobs/job_a");
  EXPECT_EQ(list[0]["state"], "JOB_STATE_RUNNING");  // enums by name
  EXPECT_EQ(list[0]["lastCheckpointStep"], "40");    // lowerCamelCase, int64 as a string
  EXPECT_EQ(list[0]["createTime"], "2021-03-01T00:00:00Z");
  EXPECT_EQ(list[0]["spec"]["metadata"]["name"], "job_a-name");
  EXPECT_FALSE(list[1].contains("lastCheckpointStep"));  // unset stays out
  const auto one = nlohmann::json::parse(One(OutputForm::kJson));
  EXPECT_EQ(one, list[0]);
}

TEST_F(OutputTest, JsonlIsOneDocumentALine) {
  const std::string text = List(OutputForm::kJsonl);
  ASSERT_EQ(std::count(text.begin(), text.end(), '\n'), 2);
  const size_t end = text.find('\n');
  EXPECT_EQ(nlohmann::json::parse(text.substr(0, end))["name"], "jobs/job_a");
  EXPECT_EQ(nlohmann::json::parse(text.substr(end + 1))["name"], "jobs/job_longer");
  EXPECT_EQ(One(OutputForm::kJsonl), text.substr(0, end + 1));
}

TEST_F(OutputTest, YamlSaysTheSameAsJson) {
  const YAML::Node list = YAML::Load(List(OutputForm::kYaml));
  ASSERT_EQ(list.size(), 2u);
  EXPECT_EQ(list[0]["name"].as<std::string>(), "jobs/job_a");
  EXPECT_EQ(list[1]["spec"]["metadata"]["name"].as<std::string>(), "job_longer-name");
  const std::string one = One(OutputForm::kYaml);
  EXPECT_EQ(YAML::Load(one)["lastCheckpointStep"].as<int>(), 40);
  EXPECT_EQ(one.find('{'), std::string::npos) << "block style, for people:\n" << one;
}

TEST_F(OutputTest, NameIsTheResourceNameAlone) {
  EXPECT_EQ(List(OutputForm::kName), "jobs/job_a\njobs/job_longer\n");
  EXPECT_EQ(One(OutputForm::kName), "jobs/job_a\n");
}

TEST_F(OutputTest, DescribeAlignsItsLinesAndLeavesOutWhatIsEmpty) {
  EXPECT_EQ(One(OutputForm::kTable), "Job:       job_a\nLong key:  value\n");
}

TEST(Fail, PrintsMessageFieldAndHintToStderrOnly) {
  CaptureStdout();
  CaptureStderr();
  const absl::Status status =
      Error(absl::StatusCode::kInvalidArgument, reason::kOutOfRange, "0 is below 1")
          .Field("optim.steps")
          .Hint("say at least 1");
  EXPECT_EQ(Fail(status), kExitUsage);
  EXPECT_EQ(GetCapturedStderr(), "error: 0 is below 1\nfield: optim.steps\nhint: say at least 1\n");
  EXPECT_EQ(GetCapturedStdout(), "");
}

TEST(Fail, AnInterruptIsNoError) {
  CaptureStderr();
  EXPECT_EQ(Fail(absl::CancelledError("interrupted")), kExitInterrupted);
  EXPECT_EQ(GetCapturedStderr(), "interrupted\n");
}

struct CodeCase {
  absl::StatusCode status;
  absl::string_view reason;
  int exit_code;
};
class ExitCode : public ::testing::TestWithParam<CodeCase> {};

TEST_P(ExitCode, OfAStatus) {
  const CodeCase& c = GetParam();
  EXPECT_EQ(ExitCodeOf(Error(c.status, c.reason, "message")), c.exit_code);
}

INSTANTIATE_TEST_SUITE_P(
    Codes, ExitCode,
    ::testing::Values(CodeCase{absl::StatusCode::kInternal, reason::kInternal, 1},
                      CodeCase{absl::StatusCode::kNotFound, reason::kJobNotFound, 1},
                      CodeCase{absl::StatusCode::kFailedPrecondition, reason::kWrongJobState, 1},
                      CodeCase{absl::StatusCode::kFailedPrecondition, reason::kPoolEmpty, 1},
                      CodeCase{absl::StatusCode::kDataLoss, reason::kCheckpointCorrupt, 1},
                      CodeCase{absl::StatusCode::kUnknown, reason::kInternal, 1},
                      CodeCase{absl::StatusCode::kUnimplemented, reason::kInternal, 1},
                      CodeCase{absl::StatusCode::kInvalidArgument, reason::kUnknownKey, 2},
                      CodeCase{absl::StatusCode::kCancelled, reason::kInternal, 3},
                      CodeCase{absl::StatusCode::kUnauthenticated, reason::kInternal, 4},
                      CodeCase{absl::StatusCode::kPermissionDenied, reason::kStorageFailed, 4},
                      CodeCase{absl::StatusCode::kUnavailable, reason::kServiceUnreachable, 5},
                      CodeCase{absl::StatusCode::kDeadlineExceeded, reason::kServiceUnreachable, 5},
                      CodeCase{absl::StatusCode::kAborted, reason::kPoolWriteConflict, 6},
                      CodeCase{absl::StatusCode::kAlreadyExists, reason::kPoolExists, 6},
                      CodeCase{absl::StatusCode::kResourceExhausted, reason::kDiskFull, 6},
                      CodeCase{absl::StatusCode::kFailedPrecondition, reason::kNotEnoughDevices,
                               6}));

TEST(ExitCode, OfSuccessIsZeroAndThoseOfWaitStandApart) {
  EXPECT_EQ(ExitCodeOf(absl::OkStatus()), 0);
  EXPECT_EQ(kExitFailed, 100);
  EXPECT_EQ(kExitTimeUp, 101);
  EXPECT_EQ(kExitNotFound, 102);
  EXPECT_EQ(kExitCancelled, 103);
}

TEST(Format, TimesAreInUtcWhateverTheZone) {
  google::protobuf::Timestamp time;
  EXPECT_EQ(FormatTime(time), "");
  time.set_seconds(1772366400);
  EXPECT_EQ(FormatTime(time), "2026-03-01 12:00:00Z");
}

TEST(Format, BytesAndSecondsAsPeopleReadThem) {
  EXPECT_EQ(FormatBytes(0), "0 B");
  EXPECT_EQ(FormatBytes(1023), "1023 B");
  EXPECT_EQ(FormatBytes(1536), "1.5 KiB");
  EXPECT_EQ(FormatBytes(int64_t{5} << 30), "5.0 GiB");
  EXPECT_EQ(FormatBytes(int64_t{3} << 50), "3.0 PiB");
  EXPECT_EQ(FormatSeconds(4.24), "4.2s");
  EXPECT_EQ(FormatSeconds(42.4), "42s");
  EXPECT_EQ(FormatSeconds(200), "3m20s");
  EXPECT_EQ(FormatSeconds(3599.7), "1h00m");
  EXPECT_EQ(FormatSeconds(3725), "1h02m");
  EXPECT_EQ(FormatSeconds(90000), "1d01h");
  EXPECT_EQ(FormatSeconds(-1), "-");
  EXPECT_EQ(FormatSeconds(std::numeric_limits<double>::infinity()), "-");
  EXPECT_EQ(EnumName("JOB_STATE_RUNNING", "JOB_STATE_"), "RUNNING");
}

}  // namespace
}  // namespace seer::client
