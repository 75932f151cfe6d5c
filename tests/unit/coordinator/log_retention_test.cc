#include "coordinator/services/log_retention.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "coordinator/store/store.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace seer::coordinator {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using testing::TempDir;
using ::testing::UnorderedElementsAre;

class NoEffects final : public EffectSink {
 public:
  void Assign(const AssignRank&, const Core&) override {}
  void Stop(const StopRanks&) override {}
  void Inspect(const InspectRanks&) override {}
  void MarkCommitted(const Checkpoint&) override {}
  void DeleteFiles(const CheckpointKey&) override {}
  void JobChanged(const std::string&) override {}
};

TEST(KeepLogs, IsATimeOrZeroOrForever) {
  EXPECT_EQ(*ParseKeepLogs("30d"), absl::Hours(720));
  EXPECT_EQ(*ParseKeepLogs("12h"), absl::Hours(12));
  EXPECT_EQ(*ParseKeepLogs("0"), absl::ZeroDuration());
  EXPECT_EQ(*ParseKeepLogs("forever"), absl::InfiniteDuration());
  for (const char* text : {"", "30", "-1d", "-1h", "d", "inf", "for ever", "99999999999999999d"}) {
    const absl::Status status = ParseKeepLogs(text).status();
    ASSERT_FALSE(status.ok()) << text;
    EXPECT_EQ(GetErrorDetail(status)->field, "--keep-logs");
    EXPECT_THAT(GetErrorDetail(status)->hint, HasSubstr("36h or 7d"));
  }
}

class LogRetentionTest : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_OK(runner_.Start(sink_, absl::Hours(1))); }
  std::string JobWithLogs(const std::string& name) {
    command::CreateJob create;
    create.job.name = name;
    create.job.numbers.shape.ranks = 1;
    create.id_seed = std::hash<std::string>()(name);
    const std::string id = runner_.Execute(create).job;
    EXPECT_OK(logs_.Append(id, {{clock_.Now(), 1, 0, "a line"}}));
    return id;
  }
  void End(const std::string& id) { EXPECT_OK(runner_.Execute(command::CancelJob{id, ""}).status); }
  LogRetention Keeping(absl::Duration keep) {
    return {runner_, logs_, clock_, metrics_, keep, absl::Hours(1)};
  }

  TempDir dir_;
  FakeClock clock_;
  MetricsRegistry registry_;
  CoordinatorMetrics metrics_{registry_};
  std::unique_ptr<Store> store_ = MakeMemoryStore();
  NoEffects sink_;
  LogStore logs_{dir_ / "logs"};
  ThreadLoop loop_{"core", clock_}, writer_{"database", clock_};
  CoreRunner runner_{CoreOptions{}, *store_, clock_, loop_, writer_, metrics_};
};

TEST_F(LogRetentionTest, LogsOfAnEndedJobGoWhenTheirTimeIsUpAndItsCurveStays) {
  const std::string ended = JobWithLogs("ended"), waiting = JobWithLogs("waiting");
  std::ofstream(dir_.path() / "logs" / ended / "curve") << "points";
  ASSERT_OK(logs_.Append("job_of_another", {{clock_.Now(), 1, 0, "nobody's"}}));
  End(ended);
  LogRetention retention = Keeping(absl::Hours(24));
  clock_.Advance(absl::Hours(23));
  retention.Look();
  EXPECT_THAT(logs_.Jobs(), UnorderedElementsAre(ended, waiting, "job_of_another"));
  EXPECT_THAT(registry_.Render(), Not(HasSubstr("seer_job_logs_dropped_bytes_total")));
  clock_.Advance(absl::Hours(1));
  retention.Look();
  EXPECT_THAT(logs_.Jobs(), UnorderedElementsAre(waiting, "job_of_another"));
  EXPECT_TRUE(std::filesystem::exists(dir_.path() / "logs" / ended / "curve"));
  EXPECT_THAT(registry_.Render(), HasSubstr("seer_job_logs_dropped_bytes_total"));
  LogPosition position;
  EXPECT_TRUE(logs_.Read(ended, position)->empty());
  // A rank's last words may come late: they begin a new file, which goes the same way.
  ASSERT_OK(logs_.Append(ended, {{clock_.Now(), 1, 0, "late"}}));
  EXPECT_EQ(logs_.Read(ended, position = {})->at(0).text, "late");
  retention.Look();
  EXPECT_THAT(logs_.Jobs(), UnorderedElementsAre(waiting, "job_of_another"));
}

TEST_F(LogRetentionTest, ZeroDropsThemAsTheJobEndsAndForeverNever) {
  const std::string id = JobWithLogs("a");
  LogRetention at_once = Keeping(absl::ZeroDuration()), never = Keeping(absl::InfiniteDuration());
  at_once.Look();
  EXPECT_THAT(logs_.Jobs(), UnorderedElementsAre(id)) << "it has not ended";
  End(id);
  clock_.Advance(absl::Hours(24 * 10'000));
  never.Look();
  EXPECT_THAT(logs_.Jobs(), UnorderedElementsAre(id));
  at_once.Look();
  EXPECT_TRUE(logs_.Jobs().empty());
  EXPECT_FALSE(std::filesystem::exists(dir_.path() / "logs" / id)) << "nothing else was in it";
}

}  // namespace
}  // namespace seer::coordinator
