// Parts of the services that need no server:
// logs, page tokens, files of checkpoints, and what a failed commit holds back.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <memory>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/base/digest.h"
#include "common/objectstore/faulty_store.h"
#include "common/objectstore/memory_store.h"
#include "coordinator/core/failure.h"
#include "coordinator/core/job_states.h"
#include "coordinator/services/agent_streams.h"
#include "coordinator/services/change_feed.h"
#include "coordinator/services/checkpoint_files.h"
#include "coordinator/services/convert.h"
#include "coordinator/services/core_runner.h"
#include "coordinator/services/curve_store.h"
#include "coordinator/services/log_store.h"
#include "coordinator/services/page_token.h"
#include "coordinator/services/trainers_service.h"
#include "coordinator/services/webhooks.h"
#include "coordinator/store/leader_lease.h"
#include "seer/v1/schedules.pb.h"
#include "seer/v1/sweeps.pb.h"
#include "tests/support/http_server.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace seer::coordinator {
namespace {

using ::testing::ElementsAre;
using testing::FailsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using testing::TempDir;

std::vector<std::string> Texts(LogStore& logs, const std::string& job, LogPosition& position) {
  std::vector<std::string> texts;
  while (true) {
    const std::vector<LogRecord> lines = logs.Read(job, position).value();
    if (lines.empty()) return texts;
    for (const LogRecord& line : lines) texts.push_back(line.text);
  }
}

TEST(HeartbeatPeriod, ManyAgentsReportLessOften) {
  const AgentStreamsOptions options{absl::Seconds(1), absl::Seconds(15)};
  EXPECT_EQ(HeartbeatPeriod(options, 0), absl::Seconds(1));
  EXPECT_EQ(HeartbeatPeriod(options, 2000), absl::Seconds(1));
  EXPECT_EQ(HeartbeatPeriod(options, 5000), absl::Seconds(2.5));
  EXPECT_EQ(HeartbeatPeriod(options, 100000), absl::Seconds(5)) << "the lease must not run out";
  const AgentStreamsOptions rare{absl::Seconds(6), absl::Seconds(15)};
  EXPECT_EQ(HeartbeatPeriod(rare, 100000), absl::Seconds(6)) << "as it was asked for";
}

TEST(LogStore, GivesBackLinesInOrderAlsoToAReaderThatGoesOn) {
  TempDir dir;
  LogStore logs(dir / "logs");
  const absl::Time time = absl::FromUnixMicros(1'700'000'000'000'001);
  EXPECT_OK(logs.Append(
      "job_a", {{time, 2, 3, "with  spaces"}, {time, 2, 4, ""}, {time, 2, 4, "two\nlines"}}));
  LogPosition position;
  const std::vector<LogRecord> lines = logs.Read("job_a", position).value();
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_EQ(lines[0].time, time);
  EXPECT_EQ(lines[0].attempt, 2);
  EXPECT_EQ(lines[0].rank, 3);
  EXPECT_EQ(lines[0].text, "with  spaces");
  EXPECT_EQ(lines[1].text, "");
  EXPECT_EQ(lines[2].text, "two lines");
  EXPECT_TRUE(logs.Read("job_a", position)->empty());
  LogStore again(dir / "logs");  // as after a restart
  EXPECT_OK(again.Append("job_a", {{time, 3, 0, "later"}}));
  EXPECT_THAT(Texts(again, "job_a", position), ElementsAre("later"));
  LogPosition other;
  EXPECT_TRUE(logs.Read("job_unknown", other)->empty());
}

std::vector<std::string> TextsBehind(LogStore& logs, const LogPosition& position, absl::Time time) {
  LogPosition reader = logs.Behind("job_a", position, time).value();
  return Texts(logs, "job_a", reader);
}

TEST(LogStore, AReaderGoesOnBehindEachLine) {
  TempDir dir;
  LogStore logs(dir.path());
  const auto at = [](int second) { return absl::FromUnixSeconds(1'700'000'000 + second); };
  // Two lines of one time.
  ASSERT_OK(logs.Append("job_a", {{at(1), 1, 0, "a"}, {at(1), 1, 1, "b"}, {at(2), 1, 0, "c"}}));
  LogPosition start;
  const std::vector<LogRecord> lines = logs.Read("job_a", start).value();
  ASSERT_EQ(lines.size(), 3u);
  LogStore again(dir.path());  // as after a restart
  ASSERT_OK(again.Append("job_a", {{at(3), 2, 0, "d"}}));
  EXPECT_THAT(TextsBehind(again, lines[0].next, at(1)), ElementsAre("b", "c", "d"));
  EXPECT_THAT(TextsBehind(again, lines[1].next, at(1)), ElementsAre("c", "d"));
  EXPECT_THAT(TextsBehind(again, lines[2].next, at(2)), ElementsAre("d"));
}

TEST(LogStore, AReaderOfOtherFilesGoesOnByTime) {
  TempDir dir;
  LogStore logs(dir / "one"), other(dir / "other");
  const auto at = [](int second) { return absl::FromUnixSeconds(1'700'000'000 + second); };
  ASSERT_OK(logs.Append("job_a", {{at(1), 1, 0, "long line"}, {at(2), 1, 0, "b"}}));
  LogPosition start;
  const std::vector<LogRecord> lines = logs.Read("job_a", start).value();
  ASSERT_OK(other.Append("job_a", {{at(2), 1, 0, "b"}, {at(3), 1, 0, "c"}, {at(4), 1, 0, "d"}}));
  EXPECT_THAT(TextsBehind(other, lines[1].next, at(2)), ElementsAre("c", "d"));
  EXPECT_THAT(TextsBehind(other, {7, 1'000'000}, at(3)), ElementsAre("d"));
  LogStore none(dir / "none");
  EXPECT_THAT(TextsBehind(none, lines[1].next, at(2)), IsEmpty());
}

TEST(LogStore, LinesOfAJobThatIsForgottenAreGoneWithItsFolder) {
  TempDir dir;
  LogStore logs(dir.path());
  CurveStore curves(dir.path());
  ASSERT_OK(logs.Append("job_a", {{absl::UnixEpoch(), 1, 0, "a"}}));
  ASSERT_OK(logs.Append("job_b", {{absl::UnixEpoch(), 1, 0, "b"}}));
  v1::Progress point;
  point.set_step(3);
  ASSERT_OK(curves.Add("job_a", point));
  ASSERT_OK(curves.Remove("job_a"));
  EXPECT_THAT(curves.Read("job_a"), IsEmpty());
  ASSERT_OK(logs.Remove("job_a"));
  EXPECT_FALSE(std::filesystem::exists(dir / "job_a"));
  ASSERT_OK(logs.Remove("job_a"));  // again, as after a crash
  LogPosition position;
  EXPECT_THAT(Texts(logs, "job_b", position), ElementsAre("b"));
}

TEST(LogStore, KeepsOnlyTheNewestSegments) {
  TempDir dir;
  LogStore logs(dir.path());
  const std::string text(60'000, 'x');
  const int lines = static_cast<int>(LogStore::kSegmentBytes * (LogStore::kSegments + 2) / 60'000);
  for (int i = 0; i < lines; i += 20) {
    std::vector<LogRecord> batch;
    for (int j = i; j < i + 20; ++j) batch.push_back({absl::UnixEpoch(), 1, j, text});
    ASSERT_OK(logs.Append("job_a", batch));
  }
  uintmax_t bytes = 0;
  for (const auto& entry : std::filesystem::directory_iterator(dir / "job_a"))
    bytes += entry.file_size();
  EXPECT_LE(bytes,
            static_cast<uintmax_t>(LogStore::kSegmentBytes + 1'300'000) * LogStore::kSegments);
  LogPosition position;
  const std::vector<LogRecord> first = logs.Read("job_a", position).value();
  ASSERT_FALSE(first.empty());
  EXPECT_GT(first[0].rank, 0);
  int newest = 0;
  while (true) {
    const std::vector<LogRecord> more = logs.Read("job_a", position).value();
    if (more.empty()) break;
    newest = more.back().rank;
  }
  EXPECT_GE(newest, lines - 1);
}

TEST(LogStore, CutsALineThatIsTooLong) {
  TempDir dir;
  LogStore logs(dir.path());
  ASSERT_OK(logs.Append("job_a", {{absl::UnixEpoch(), 1, 0, std::string(1'000'000, 'y')}}));
  LogPosition position;
  EXPECT_EQ(logs.Read("job_a", position)->at(0).text.size(), LogStore::kLineBytes);
}

TEST(LogStore, ALineIsCutBetweenCharactersAndKeptAsUtf8) {
  TempDir dir;
  LogStore logs(dir.path());
  std::string euros;
  while (euros.size() <= LogStore::kLineBytes) euros += "\xe2\x82\xac";
  ASSERT_OK(logs.Append("job_a",
                        {{absl::UnixEpoch(), 1, 0, euros}, {absl::UnixEpoch(), 1, 0, "caf\xe9"}}));
  LogPosition position;
  const std::vector<LogRecord> lines = logs.Read("job_a", position).value();
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(lines[0].text.size(), LogStore::kLineBytes / 3 * 3);
  EXPECT_EQ(lines[1].text, "caf\xef\xbf\xbd");
}

TEST(LogStore, HalfALineOfAProcessThatWasKilledDoesNotSpoilTheNext) {
  TempDir dir;
  ASSERT_OK(LogStore(dir.path()).Append("job_a", {{absl::UnixEpoch(), 1, 0, "whole"}}));
  std::ofstream(dir / "job_a/00000001.log", std::ios::app) << "0 1 0 ha\xe2\x82";
  LogStore logs(dir.path());
  ASSERT_OK(logs.Append("job_a", {{absl::UnixEpoch(), 1, 0, "next"}}));
  LogPosition position;
  EXPECT_THAT(Texts(logs, "job_a", position), ElementsAre("whole", "next"));
}

TEST(Webhooks, WithoutAListEndsAndFailuresAreWanted) {
  const v1::WebhookSpec plain;
  Event event;
  event.type = "job_state_changed";
  event.to = "RUNNING";
  EXPECT_FALSE(Wants(plain, event));
  for (const char* state : {"SUCCEEDED", "FAILED", "CANCELLED"}) {
    event.to = state;
    EXPECT_TRUE(Wants(plain, event)) << state;
  }
  event = {};
  event.type = "attempt_ended";
  EXPECT_FALSE(Wants(plain, event));
  event.failure = FailureClass::kNetwork;
  EXPECT_TRUE(Wants(plain, event));
  event.type = "health_alert";
  EXPECT_TRUE(Wants(plain, event));
}

TEST(Webhooks, AListNamesTypesAndStatesButNeverTheirOwnFailure) {
  v1::WebhookSpec listed;
  for (const char* wanted : {"PAUSED", "checkpoint_committed", "webhook_failed"})
    listed.add_events(wanted);
  Event event;
  event.type = "job_state_changed";
  event.to = "PAUSED";
  EXPECT_TRUE(Wants(listed, event));
  event.to = "FAILED";
  EXPECT_FALSE(Wants(listed, event));
  event = {};
  event.type = "checkpoint_committed";
  EXPECT_TRUE(Wants(listed, event));
  event.type = "webhook_failed";
  EXPECT_FALSE(Wants(listed, event));
}

TEST(Webhooks, WhatFindsNoRoomIsDroppedAndCounted) {
  MetricsRegistry registry;
  CoordinatorMetrics metrics(registry);
  testing::HttpServer server;
  Job job;
  job.id = "job_1";
  job.numbers.webhooks = true;
  v1::JobSpec spec;
  spec.mutable_alerts()->add_webhooks()->set_url(server.url());
  spec.mutable_alerts()->mutable_webhooks(0)->add_events("tick");
  job.spec = spec.SerializeAsString();
  Event event;
  event.type = "tick";
  {
    WebhookOptions options;
    options.queue = 2;
    options.threads = 0;  // nobody takes them
    Webhooks webhooks(options, Clock::Real(), metrics, [](const auto&, const auto&) {});
    for (event.number = 1; event.number <= 5; ++event.number) webhooks.Offer(event, job);
  }
  EXPECT_THAT(registry.Render(), HasSubstr("seer_webhook_posts_total{outcome=\"dropped\"} 3"));
}

TEST(PageToken, GoesThereAndBackAndBelongsToItsList) {
  const std::string token = MakePageToken("jobs", {"17"});
  EXPECT_THAT(*ReadPageToken("jobs", 1, token), ElementsAre("17"));
  EXPECT_TRUE(ReadPageToken("jobs", 1, "")->empty());
  for (const std::string& bad : {token + "x", std::string("\xff\xfe"), std::string("am9icw")}) {
    EXPECT_THAT(ReadPageToken("jobs", 1, bad),
                FailsWith(absl::StatusCode::kInvalidArgument, reason::kInvalidPageToken, ""))
        << bad;
  }
  EXPECT_FALSE(ReadPageToken("workers", 1, token).ok());
  EXPECT_FALSE(ReadPageToken("jobs", 2, token).ok());
  EXPECT_EQ(*PageSize(0, 100, 1000), 100);
  EXPECT_EQ(*PageSize(5000, 100, 1000), 1000);
  EXPECT_THAT(PageSize(-1, 100, 1000),
              FailsWith(absl::StatusCode::kInvalidArgument, reason::kOutOfRange, "-1"));
}

TEST(Convert, StatesHaveTheNumbersAndNamesOfTheApi) {
  EXPECT_EQ(static_cast<int>(SweepState::kRunning), static_cast<int>(v1::SWEEP_STATE_RUNNING));
  EXPECT_EQ(static_cast<int>(SweepState::kExhausted), static_cast<int>(v1::SWEEP_STATE_EXHAUSTED));
  EXPECT_EQ(static_cast<int>(SweepState::kCancelled), static_cast<int>(v1::SWEEP_STATE_CANCELLED));
  EXPECT_EQ(static_cast<int>(Overlap::kSkip), static_cast<int>(v1::OVERLAP_POLICY_SKIP));
  EXPECT_EQ(static_cast<int>(Overlap::kReplace), static_cast<int>(v1::OVERLAP_POLICY_REPLACE));
  for (int i = 1; i <= 9; ++i) {
    EXPECT_EQ(v1::JobState_Name(static_cast<v1::JobState>(i)),
              absl::StrCat("JOB_STATE_", StateName(static_cast<JobState>(i))));
  }
  EXPECT_FALSE(v1::JobState_IsValid(10));
}

TEST(Convert, FailureClassesHaveTheNumbersAndNamesOfTheApi) {
  for (int i = v1::FailureClass_MIN + 1; i <= v1::FailureClass_MAX; ++i) {
    EXPECT_EQ(v1::FailureClass_Name(static_cast<v1::FailureClass>(i)),
              absl::StrCat("FAILURE_CLASS_",
                           absl::AsciiStrToUpper(FailureClassName(static_cast<FailureClass>(i)))));
  }
  EXPECT_EQ(static_cast<int>(FailureClass::kUnknown), v1::FailureClass_MAX);
}

TEST(Convert, StatesOfProfilesHaveTheNumbersOfTheApi) {
  using enum ProfileState;
  for (const auto& [own, public_state] :
       {std::pair{kRequested, v1::PROFILE_STATE_REQUESTED},
        std::pair{kRecording, v1::PROFILE_STATE_RECORDING},
        std::pair{kDone, v1::PROFILE_STATE_DONE}, std::pair{kFailed, v1::PROFILE_STATE_FAILED}})
    EXPECT_EQ(static_cast<int>(own), static_cast<int>(public_state));
  EXPECT_FALSE(v1::ProfileState_IsValid(5));
}

TEST(Convert, ElasticGangsHaveTheirSizesAndSpares) {
  v1::JobSpec spec;
  spec.mutable_data()->set_global_batch(96);
  v1::DistributedSpec& distributed = *spec.mutable_distributed();
  distributed.set_ranks(8);
  distributed.set_min_ranks(2);
  distributed.set_sync_bn_group_size(2);
  distributed.set_shard_group_size(1);
  distributed.set_spare_ranks(3);
  const JobNumbers numbers = NumbersOf(spec);
  EXPECT_EQ(numbers.shape.ranks, 8);
  EXPECT_THAT(numbers.smaller, ElementsAre(6, 4, 2));
  EXPECT_EQ(LeastRanks(numbers), 2);
  EXPECT_EQ(numbers.spares, 3);
  distributed.clear_min_ranks();  // as stored before there was a choice
  EXPECT_THAT(NumbersOf(spec).smaller, IsEmpty());
}

TEST(Convert, TheRecipeIsWhatTrainingDependsOn) {
  v1::JobSpec spec;
  spec.set_seed(3);
  spec.mutable_distributed()->set_ranks(4);
  spec.mutable_optim()->set_lr(0.5);
  const std::string recipe = RecipeDigest(spec);
  EXPECT_EQ(recipe.size(), 64u);
  v1::JobSpec same = spec;
  same.mutable_metadata()->set_name("other");
  (*same.mutable_metadata()->mutable_labels())["a"] = "b";
  same.mutable_scheduling()->set_priority(4);
  same.mutable_failure()->set_max_restarts(1);
  same.mutable_checkpoint()->set_keep_every(10);
  same.mutable_distributed()->set_min_ranks(2);
  same.mutable_distributed()->set_spare_ranks(1);
  EXPECT_EQ(RecipeDigest(same), recipe);
  spec.mutable_optim()->set_lr(0.25);
  EXPECT_NE(RecipeDigest(spec), recipe);
}

TEST(Convert, RetentionAndTheStartComeFromTheSpec) {
  v1::JobSpec spec;
  v1::CheckpointSpec& checkpoint = *spec.mutable_checkpoint();
  checkpoint.set_keep_last(4);
  checkpoint.set_keep_every(50);
  checkpoint.set_keep_best(2);
  checkpoint.set_keep_last_when_full(1);
  checkpoint.set_start_from("jobs/job_a/checkpoints/70");
  const JobNumbers numbers = NumbersOf(spec);
  EXPECT_EQ(numbers.keep.last, 4);
  EXPECT_EQ(numbers.keep.every, 50);
  EXPECT_EQ(numbers.keep.best, 2);
  EXPECT_EQ(numbers.keep_last_when_full, 1);
  EXPECT_EQ(numbers.start_job, "job_a");
  EXPECT_EQ(numbers.start_step, 70);
  checkpoint.clear_start_from();
  EXPECT_EQ(NumbersOf(spec).start_job, "");
}

constexpr auto kNever = [] { return false; };

class FilesTest : public ::testing::Test {
 protected:
  Checkpoint Written() {
    Checkpoint checkpoint;
    checkpoint.job = "job_a";
    checkpoint.step = 5;
    for (const std::string name : {"rank-0", "rank-1"}) {
      const std::string bytes = "bytes of " + name;
      EXPECT_OK(objects_->Put("job_a/checkpoints/5/" + name, bytes));
      checkpoint.files.push_back({name, static_cast<int64_t>(bytes.size()), Sha256Hex(bytes)});
    }
    return checkpoint;
  }

  static Faults FirstPutsFail(int failures) {
    Faults faults;
    faults.fail = [failures](absl::string_view operation, absl::string_view) mutable {
      return operation == "put" && failures-- > 0 ? absl::UnavailableError("storage is away")
                                                  : absl::OkStatus();
    };
    return faults;
  }

  FakeClock clock_;
  FakeLoop loop_{clock_};
  MetricsRegistry registry_;
  CoordinatorMetrics metrics_{registry_};
  std::unique_ptr<ObjectStore> objects_ = seer::MakeMemoryStore();
};

TEST_F(FilesTest, CommittedIsWrittenAgainUntilItWorks) {
  int done = 0;
  auto faulty = MakeFaultyStore(*objects_, FirstPutsFail(2));
  CheckpointFiles files(*faulty, loop_, clock_, metrics_);
  files.MarkCommitted(Written(), [&] { ++done; });
  loop_.RunReady();
  EXPECT_EQ(done, 0);
  loop_.Advance(absl::Seconds(1));
  EXPECT_EQ(done, 0);
  loop_.Advance(absl::Seconds(2));
  EXPECT_EQ(done, 1);
  EXPECT_THAT(*objects_->Get("job_a/checkpoints/5/COMMITTED"), HasSubstr("rank-1"));
  EXPECT_THAT(registry_.Render(), HasSubstr("seer_checkpoint_failures_total{reason=\"commit\"} 2"));
}

TEST_F(FilesTest, DeletionTakesCommittedFirst) {
  const Checkpoint checkpoint = Written();
  std::vector<std::string> deleted;
  Faults faults;
  faults.fail = [&](absl::string_view operation, absl::string_view key) {
    if (operation == "delete") deleted.emplace_back(key);
    return absl::OkStatus();
  };
  auto watched = MakeFaultyStore(*objects_, faults);
  CheckpointFiles files(*watched, loop_, clock_, metrics_);
  int done = 0;
  files.MarkCommitted(checkpoint, [] {});
  files.Delete({"job_a", 5}, [&] { ++done; });
  loop_.RunReady();
  EXPECT_EQ(done, 1);
  EXPECT_TRUE(objects_->List("job_a/")->empty());
  ASSERT_EQ(deleted.size(), 3u);
  EXPECT_EQ(deleted[0], "job_a/checkpoints/5/COMMITTED");
}

// While storage is away both wait to be tried again, and the deletion may get through first.
TEST_F(FilesTest, ADeletedCheckpointIsNotMarkedCommittedAfterwards) {
  bool away = true;
  Faults faults;
  faults.fail = [&](absl::string_view operation, absl::string_view) {
    return operation == "put" && away ? absl::UnavailableError("storage is away")
                                      : absl::OkStatus();
  };
  auto faulty = MakeFaultyStore(*objects_, faults);
  CheckpointFiles files(*faulty, loop_, clock_, metrics_);
  int deleted = 0;
  files.MarkCommitted(Written(), [] { ADD_FAILURE() << "marked"; });
  loop_.RunReady();
  files.Delete({"job_a", 5}, [&] { ++deleted; });
  loop_.RunReady();
  EXPECT_EQ(deleted, 1);
  away = false;
  loop_.Advance(absl::Minutes(1));
  EXPECT_TRUE(objects_->List("job_a/")->empty());
}

TEST_F(FilesTest, AStepThatIsCommittedAnewKeepsItsNewDigests) {
  int done = 0;
  auto faulty = MakeFaultyStore(*objects_, FirstPutsFail(1));
  CheckpointFiles files(*faulty, loop_, clock_, metrics_);
  Checkpoint checkpoint = Written();
  files.MarkCommitted(checkpoint, [] { ADD_FAILURE() << "the older one was written"; });
  loop_.RunReady();
  checkpoint.files[0].sha256 = std::string(64, 'e');
  files.MarkCommitted(checkpoint, [&] { ++done; });
  loop_.Advance(absl::Minutes(1));
  EXPECT_EQ(done, 1);
  EXPECT_THAT(*objects_->Get("job_a/checkpoints/5/COMMITTED"), HasSubstr(std::string(64, 'e')));
}

TEST_F(FilesTest, AVerificationEndsWhenItsCallerIsGone) {
  CheckpointFiles files(*objects_, loop_, clock_, metrics_);
  int pieces = 0;
  EXPECT_TRUE(absl::IsCancelled(files.Verify(Written(), [&] { return ++pieces > 1; })));
  EXPECT_EQ(pieces, 2);
}

TEST_F(FilesTest, VerificationNamesTheFileThatIsBad) {
  const Checkpoint checkpoint = Written();
  CheckpointFiles files(*objects_, loop_, clock_, metrics_);
  EXPECT_OK(files.Verify(checkpoint, kNever));
  ASSERT_OK(objects_->Put("job_a/checkpoints/5/rank-1", "bytes of rank-X"));
  EXPECT_THAT(files.Verify(checkpoint, kNever),
              FailsWith(absl::StatusCode::kDataLoss, reason::kCheckpointCorrupt,
                        "rank-1 has another digest"));
  ASSERT_OK(objects_->Put("job_a/checkpoints/5/rank-1", "short"));
  EXPECT_THAT(
      files.Verify(checkpoint, kNever),
      FailsWith(absl::StatusCode::kDataLoss, reason::kCheckpointCorrupt, "rank-1 has 5 bytes"));
  ASSERT_OK(objects_->Delete("job_a/checkpoints/5/rank-0"));
  EXPECT_THAT(
      files.Verify(checkpoint, kNever),
      FailsWith(absl::StatusCode::kDataLoss, reason::kCheckpointCorrupt, "rank-0 is missing"));
}

// Another coordinator may have deleted them, and a new attempt written them again.
TEST_F(FilesTest, ACoordinatorThatNoLongerLeadsLeavesThemAlone) {
  Written();
  bool leads = true;
  int deletions = 0;
  Faults faults;
  faults.fail = [&](absl::string_view operation, absl::string_view) {
    if (operation == "delete" && ++deletions == 2) leads = false;  // in the middle
    return absl::OkStatus();
  };
  auto watched = MakeFaultyStore(*objects_, faults);
  CheckpointFiles files(*watched, loop_, clock_, metrics_, [&leads] { return leads; });
  int done = 0;
  files.Delete({"job_a", 5}, [&] { ++done; });
  loop_.RunReady();
  loop_.Advance(absl::Minutes(5));
  EXPECT_EQ(done, 0);
  EXPECT_EQ(deletions, 2);
  EXPECT_EQ(objects_->List("job_a/")->size(), 1u);
}

// Fails while told to.
class FailingStore final : public Store {
 public:
  absl::StatusOr<StoredState> Load() override { return inner_->Load(); }
  Commit Prepare(const Changes& changes, const Core& core) override {
    return [this, commit = inner_->Prepare(changes, core)]() mutable {
      ++applied;
      return failing ? failure : commit();
    };
  }
  absl::StatusOr<std::vector<Event>> Events(const std::string& job, int64_t after,
                                            int limit) override {
    return inner_->Events(job, after, limit);
  }
  AccessStore& access() override { return inner_->access(); }
  bool failing = false;
  absl::Status failure = absl::ResourceExhaustedError("disk full");
  int applied = 0;

 private:
  const std::unique_ptr<Store> inner_ = MakeMemoryStore();
};

struct RecordingSink final : EffectSink {
  void Assign(const AssignRank& rank, const Core&) override { assigned.push_back(rank.worker); }
  void Stop(const StopRanks&) override {}
  void Inspect(const InspectRanks&) override {}
  void MarkCommitted(const Checkpoint&) override {}
  void DeleteFiles(const CheckpointKey&) override {}
  void JobChanged(const std::string&) override { ++changes; }
  void Leads() override { leading = true; }
  void StandsBy(const absl::Status&) override { leading = false; }
  std::vector<std::string> assigned;
  int changes = 0;
  bool leading = false;  // as it was told
};

TEST(CoreRunner, NothingLeavesBeforeItsCommit) {
  FakeClock clock;
  FakeLoop loop(clock);
  MetricsRegistry registry;
  CoordinatorMetrics metrics(registry);
  FailingStore store;
  RecordingSink sink;
  CoreRunner runner(CoreOptions{}, store, clock, loop, loop, metrics);
  ASSERT_OK(runner.Start(sink, absl::Seconds(1)));
  Worker worker;
  worker.name = "w";
  worker.devices = 1;
  runner.Post(command::WorkerHello{worker, {}});
  loop.RunReady();

  store.failing = true;
  command::CreateJob create;
  create.job.name = "a";
  create.request_id = "r";
  Reply reply;
  runner.Post(create, [&](const Reply& got, const Core&) { reply = got; });
  loop.RunReady();
  EXPECT_EQ(reply.status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(sink.assigned, ElementsAre());
  EXPECT_EQ(sink.changes, 0);

  store.failing = false;
  // Asked again with the same id.
  runner.Post(create, [&](const Reply& got, const Core&) { reply = got; });
  loop.RunReady();
  EXPECT_OK(reply.status);
  EXPECT_THAT(sink.assigned, ElementsAre("w"));
  const StoredState stored = store.Load().value();
  ASSERT_EQ(stored.jobs.size(), 1u);
  EXPECT_EQ(stored.jobs[0].id, reply.job);
  EXPECT_EQ(stored.jobs[0].state, JobState::kStarting);
  EXPECT_EQ(store.Events("", 0, 100)->size(), 3u);

  loop.Advance(absl::Seconds(2));
  const std::string exposed = registry.Render();
  for (const std::string line :
       {"seer_jobs{state=\"STARTING\"} 1", "seer_worker_up{worker=\"w\"} 1",
        "seer_queue_depth{queue=\"default\"} 0",
        "seer_job_state_transitions_total{from=\"QUEUED\",reason=\"\",to=\"STARTING\"} 1",
        "seer_database_commit_failures_total 1", "seer_job_time_seconds_total{class=\"start\"} 2",
        "seer_worker_heartbeat_age_seconds{worker=\"w\"} 2", "seer_database_commit_seconds_count",
        "seer_scheduler_cycle_seconds_count"}) {
    EXPECT_THAT(exposed, HasSubstr(line));
  }
}

// The writer runs when the test says so.
class CommitTest : public ::testing::Test {
 protected:
  FakeClock clock;
  FakeLoop loop{clock}, writer{clock};
  MetricsRegistry registry;
  CoordinatorMetrics metrics{registry};
  FailingStore store;
  RecordingSink sink;
  CoreRunner runner{CoreOptions{}, store, clock, loop, writer, metrics};
};

// While a commit is on its way, for ever or to fail, agents hear from the coordinator, and nobody
// sees what is not committed.
TEST_F(CommitTest, OnlyHeartbeatsAreAnsweredMeanwhile) {
  ASSERT_OK(runner.Start(sink, absl::Hours(1)));
  Worker worker;
  worker.name = "w";
  worker.devices = 1;
  runner.Post(command::WorkerHello{worker, {}});
  loop.RunReady();
  writer.RunReady();
  loop.RunReady();
  ASSERT_EQ(store.applied, 1);

  command::CreateJob create;
  create.job.name = "a";
  Reply first, second;
  int beats = 0;
  const auto beat = [&](std::vector<RunningRank> running) {
    runner.Heartbeat({"w", std::move(running)}, [&](const Reply&, const Core&) { ++beats; });
    loop.RunReady();
  };
  runner.Post(create, [&](const Reply& reply, const Core&) { first = reply; });
  loop.RunReady();
  create.job.name = "b";
  create.id_seed = 2;
  runner.Post(create, [&](const Reply& reply, const Core&) { second = reply; });
  loop.RunReady();
  beat({});
  EXPECT_EQ(beats, 0) << "it lacks a rank that it was assigned in this very commit";
  EXPECT_EQ(first.job, "");
  EXPECT_EQ(runner.core().jobs().size(), 1u) << "the second waits";
  EXPECT_THAT(sink.assigned, ElementsAre());

  writer.RunReady();
  loop.RunReady();
  ASSERT_NE(first.job, "");
  EXPECT_THAT(sink.assigned, ElementsAre("w"));
  EXPECT_EQ(second.job, "") << "its commit comes next, with what the heartbeat told";
  EXPECT_EQ(beats, 0);
  const RunningRank rank{1, "jobs/" + first.job, 0};
  store.failing = true;
  beat({rank});
  EXPECT_EQ(beats, 1) << "nothing new";
  EXPECT_EQ(store.applied, 2);
  writer.RunReady();
  loop.RunReady();
  EXPECT_EQ(beats, 2) << "agents hear although the commit failed";
  EXPECT_EQ(second.status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(store.Load()->jobs.size(), 1u);

  // What was held back goes with the next commit.
  store.failing = false;
  runner.Post(command::RankStarted{"w", rank});
  loop.RunReady();
  writer.RunReady();
  loop.RunReady();
  EXPECT_EQ(store.applied, 4);
  EXPECT_EQ(store.Load()->jobs.size(), 2u);
}

// The lease is lost while a commit hangs: who waits is told at once, and its late success counts
// for nothing.
TEST_F(CommitTest, OneThatOutlivesItsTermAnswersNobody) {
  runner.StartStandingBy(sink, absl::Hours(1));
  runner.Extend(clock.Steady() + absl::Seconds(5));
  runner.Lead(1, nullptr);
  loop.RunReady();
  command::CreateJob create;
  create.job.name = "a";
  int answers = 0;
  absl::Status status;
  runner.Post(create, [&](const Reply& reply, const Core&) {
    ++answers;
    status = reply.status;
  });
  loop.RunReady();
  runner.StandBy(NotLeader("other:7070"));
  loop.RunReady();
  EXPECT_THAT(status, FailsWith(absl::StatusCode::kUnavailable, reason::kNotLeader, "other:7070"));
  // It leads again only when the writer is through with the store.
  runner.Extend(clock.Steady() + absl::Seconds(5));
  runner.Lead(2, nullptr);
  loop.RunReady();
  EXPECT_FALSE(sink.leading);
  writer.RunReady();
  loop.RunReady();
  EXPECT_TRUE(sink.leading);
  EXPECT_EQ(answers, 1);
  EXPECT_EQ(runner.core().jobs().size(), 1u) << "it was committed all the same";
}

// On threads of its own.
class RunningCoreTest : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_OK(runner.Start(sink, absl::Hours(1))); }
  void TearDown() override {
    loop.Stop();
    writer.Stop();
  }
  MetricsRegistry registry;
  CoordinatorMetrics metrics{registry};
  FailingStore store;
  RecordingSink sink;
  ThreadLoop loop{"core", Clock::Real()}, writer{"database", Clock::Real()};
  CoreRunner runner{CoreOptions{}, store, Clock::Real(), loop, writer, metrics};
};

// Behind all that they were asked after, and never ahead of a commit.
TEST_F(RunningCoreTest, ReadsSeeWhatIsCommitted) {
  const auto jobs = [&] {
    size_t seen = 0;
    const absl::Status read = runner.Read([&](const Core& core, Store& stored) -> absl::Status {
      SEER_ASSIGN_OR_RETURN(const StoredState state, stored.Load());
      EXPECT_EQ(state.jobs.size(), core.jobs().size());
      seen = core.jobs().size();
      return absl::OkStatus();
    });
    return read.ok() ? absl::StatusOr<size_t>(seen) : read;
  };
  command::CreateJob create;
  for (size_t i = 0; i < 50; ++i) {
    create.job.name = absl::StrCat("a", i);
    create.id_seed = i;
    runner.Post(create);
    ASSERT_OK_AND_ASSIGN(const size_t seen, jobs());
    EXPECT_EQ(seen, i + 1);
  }
  store.failing = true;
  create.job.name = "late";
  create.id_seed = 50;
  runner.Post(create);
  EXPECT_EQ(jobs().status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(runner.Write([](Store&) { return absl::DataLossError("as it says"); }),
              ::testing::Eq(absl::DataLossError("as it says")));
}

// One of several coordinators on one store, played by hand.
class StandbyTest : public ::testing::Test {
 protected:
  StandbyTest() { runner_.StartStandingBy(sink_, absl::Seconds(1)); }
  void Lead() {
    runner_.Extend(clock_.Steady() + absl::Seconds(5));
    runner_.Lead(1, [](const absl::Status& status) { EXPECT_OK(status); });
    loop_.RunReady();
  }
  absl::Status Create(const std::string& name) {
    command::CreateJob create;
    create.job.name = name;
    create.id_seed = std::hash<std::string>()(name);
    absl::Status status;
    runner_.Post(create, [&](const Reply& reply, const Core&) { status = reply.status; });
    loop_.RunReady();
    return status;
  }

  FakeClock clock_;
  FakeLoop loop_{clock_};
  MetricsRegistry registry_;
  CoordinatorMetrics metrics_{registry_};
  FailingStore store_;
  RecordingSink sink_;
  CoreRunner runner_{CoreOptions{}, store_, clock_, loop_, loop_, metrics_};
};

TEST_F(StandbyTest, RefusesUntilItLeadsAndAgainWhenItNoLongerDoes) {
  EXPECT_THAT(Create("a"), FailsWith(absl::StatusCode::kUnavailable, reason::kNotLeader, ""));
  EXPECT_FALSE(runner_.leads());
  EXPECT_THAT(registry_.Render(), HasSubstr("seer_leader 0"));
  Lead();
  EXPECT_TRUE(sink_.leading);
  EXPECT_TRUE(runner_.leads());
  EXPECT_OK(Create("a"));
  loop_.Advance(absl::Seconds(1));
  EXPECT_THAT(registry_.Render(), HasSubstr("seer_leader 1"));
  EXPECT_THAT(registry_.Render(), HasSubstr("seer_jobs{state=\"QUEUED\"} 1"));
  runner_.StandBy(NotLeader("other:7070"));
  EXPECT_THAT(Create("b"),
              FailsWith(absl::StatusCode::kUnavailable, reason::kNotLeader, "other:7070 leads"));
  EXPECT_FALSE(sink_.leading);
  EXPECT_THAT(registry_.Render(), HasSubstr("seer_jobs{state=\"QUEUED\"} 0"));
  EXPECT_EQ(store_.Load()->jobs.size(), 1u);
}

// It may have been stopped for an hour: nothing that it decides now may count.
TEST_F(StandbyTest, ALeaseThatRanOutIsNoticedBeforeAnythingIsDecided) {
  Lead();
  ASSERT_OK(Create("a"));
  clock_.Advance(absl::Seconds(5));
  const int applied = store_.applied;
  EXPECT_FALSE(runner_.leads());
  EXPECT_THAT(Create("b"), FailsWith(absl::StatusCode::kUnavailable, reason::kNotLeader, ""));
  EXPECT_FALSE(sink_.leading);
  EXPECT_EQ(store_.applied, applied);
  runner_.Extend(clock_.Steady() + absl::Seconds(5));
  EXPECT_THAT(Create("b"), FailsWith(absl::StatusCode::kUnavailable, reason::kNotLeader, ""))
      << "it has to read the store again first";
  Lead();
  EXPECT_OK(Create("b"));
  EXPECT_EQ(store_.Load()->jobs.size(), 2u);
}

TEST_F(StandbyTest, ALeaderWhoseCommitIsRefusedForgetsWhatItDecided) {
  Lead();
  ASSERT_OK(Create("a"));
  store_.failing = true;
  ASSERT_FALSE(Create("full").ok());
  store_.failure = NotLeader("other:7070");
  EXPECT_THAT(Create("b"),
              FailsWith(absl::StatusCode::kUnavailable, reason::kNotLeader, "other:7070"));
  EXPECT_FALSE(sink_.leading);
  store_.failing = false;
  loop_.Advance(absl::Seconds(3));  // a tick would commit
  EXPECT_EQ(store_.Load()->jobs.size(), 1u);
  Lead();
  EXPECT_OK(Create("c"));
  EXPECT_EQ(store_.Load()->jobs.size(), 2u) << "neither full nor b came back";
}

TEST_F(StandbyTest, TicksComeOnceAfterItHasLedTwice) {
  for (int i = 0; i < 2; ++i) {
    Lead();
    runner_.StandBy(NotLeader(""));
    loop_.RunReady();
  }
  Lead();
  ASSERT_OK(Create("a"));
  loop_.Advance(absl::Seconds(4));
  EXPECT_THAT(registry_.Render(), HasSubstr("seer_job_time_seconds_total{class=\"queue\"} 4"));
}

// A full disk of the coordinator must not end gangs at their next checkpoint.
TEST_F(RunningCoreTest, AReportThatCannotBeStoredIsToBeRepeatedNotGivenUp) {
  Worker worker;
  worker.name = "w";
  worker.devices = 1;
  ASSERT_OK(runner.Execute(command::WorkerHello{worker, {}}).status);
  command::CreateJob create;
  create.job.name = "a";
  const Reply created = runner.Execute(create);
  ASSERT_OK(created.status);

  TempDir dir;
  CurveStore curves(dir.path());
  TrainersService service(runner, loop, curves);
  internal::v1::ReportCheckpointRequest request;
  request.set_attempt_id(1);
  request.set_job("jobs/" + created.job);
  request.set_world_size(1);
  request.set_step(5);
  request.set_file_name("rank-0");
  request.set_sha256(std::string(64, 'a'));
  internal::v1::ReportCheckpointResponse response;
  store.failing = true;
  const grpc::Status full = service.ReportCheckpoint(nullptr, &request, &response);
  EXPECT_EQ(full.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_THAT(full.error_message(), HasSubstr("disk full"));
  request.set_attempt_id(9);
  EXPECT_EQ(service.ReportCheckpoint(nullptr, &request, &response).error_code(),
            grpc::StatusCode::UNAVAILABLE);
  store.failing = false;
  EXPECT_EQ(service.ReportCheckpoint(nullptr, &request, &response).error_code(),
            grpc::StatusCode::FAILED_PRECONDITION);
  request.set_attempt_id(1);
  EXPECT_TRUE(service.ReportCheckpoint(nullptr, &request, &response).ok());
  EXPECT_TRUE(response.committed());
  EXPECT_EQ(store.Load()->checkpoints.size(), 1u);
  loop.Stop();
}

TEST(ChangeFeed, WakesOnAChangeAndOnStop) {
  ChangeFeed feed;
  const uint64_t seen = feed.Version("a");
  feed.Notify("a");
  feed.Wait("a", seen, absl::InfiniteDuration());  // returns at once
  EXPECT_NE(feed.Version("a"), seen);
  feed.Stop();
  feed.Wait("a", feed.Version("a"), absl::InfiniteDuration());
  EXPECT_TRUE(feed.stopped());
}

}  // namespace
}  // namespace seer::coordinator
