// What a rank records of its steps: sums for reports, series for /metrics, ids of images.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/strings/str_cat.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "worker/trainer/collective_metrics.h"
#include "worker/trainer/id_log.h"
#include "worker/trainer/step_tally.h"
#include "worker/trainer/train_metrics.h"

namespace seer::worker {
namespace {

using ::seer::testing::FailsWith;
using ::testing::HasSubstr;
using ::testing::Not;

engine::StepReport Report(int64_t step, double loss) {
  engine::StepReport report;
  report.step = step;
  report.loss = loss;
  report.learning_rate = 0.5;
  report.gradient_norm = 2;
  report.prototypes_used_ratio = 0.75;
  report.assignment_entropy_nats = 3;
  report.feature_std = 0.125;
  report.images = 16;
  report.flops = 1000;
  return report;
}

TEST(StepTallyTest, TheFirstStepSetsTheMeansAndLaterOnesMoveThem) {
  StepTally tally;
  tally.Add(Report(4, 5), /*waited_seconds=*/1, /*seconds=*/2);
  auto message = tally.Report(Report(4, 5), 32);
  EXPECT_EQ(message.step(), 5);
  EXPECT_DOUBLE_EQ(message.step_seconds(), 2);
  EXPECT_DOUBLE_EQ(message.images_per_second(), 16);
  EXPECT_DOUBLE_EQ(message.data_stall_ratio(), 0.5);
  EXPECT_DOUBLE_EQ(message.first_loss(), 5);

  tally.Add(Report(5, 4), 0, 1);
  message = tally.Report(Report(5, 4), 32);
  EXPECT_EQ(message.step(), 6);
  EXPECT_DOUBLE_EQ(message.step_seconds(), 1.9);
  EXPECT_DOUBLE_EQ(message.images_per_second(), 32 / 1.9);
  EXPECT_DOUBLE_EQ(message.data_stall_ratio(), 0.45);
  EXPECT_DOUBLE_EQ(message.data_wait_seconds(), 1);
  EXPECT_DOUBLE_EQ(message.train_seconds(), 3);
  EXPECT_DOUBLE_EQ(message.loss(), 4);
  EXPECT_DOUBLE_EQ(message.first_loss(), 5) << "of the attempt";
  EXPECT_DOUBLE_EQ(message.learning_rate(), 0.5);
  EXPECT_DOUBLE_EQ(message.gradient_norm(), 2);
  EXPECT_DOUBLE_EQ(message.prototypes_used_ratio(), 0.75);
  EXPECT_DOUBLE_EQ(message.assignment_entropy_nats(), 3);
  EXPECT_DOUBLE_EQ(message.feature_std(), 0.125);
}

TEST(StepTallyTest, SkippedStepsAreCounted) {
  StepTally tally;
  engine::StepReport report = Report(0, 1);
  report.skipped = true;
  tally.Add(report, 0, 1);
  tally.Add(report, 0, 1);
  tally.Add(Report(2, 1), 0, 1);
  EXPECT_EQ(tally.Report(Report(2, 1), 32).skipped_steps(), 2);
}

TEST(StepTallyTest, AClockThatDoesNotMoveGivesNumbers) {
  StepTally tally;
  tally.Add(Report(0, 1), 0, 0);
  const auto message = tally.Report(Report(0, 1), 32);
  EXPECT_TRUE(std::isfinite(message.data_stall_ratio()));
  EXPECT_TRUE(std::isfinite(message.images_per_second()));
}

internal::v1::Assign Assignment(const std::string& storage = "") {
  internal::v1::Assign assign;
  assign.set_job("jobs/job_a");
  assign.set_attempt(2);
  assign.set_rank(3);
  assign.set_storage_uri(storage);
  return assign;
}

TEST(TrainMetricsTest, SeriesCarryJobAndRank) {
  MetricsRegistry registry;
  TrainMetrics metrics(registry, Assignment(), /*prototypes=*/100, /*peak_flops=*/0);
  v1::JobSpec spec;
  spec.mutable_optim()->set_steps(9);
  spec.mutable_data()->set_global_batch(30);
  spec.mutable_loss()->mutable_swav()->set_assign_views(2);
  spec.mutable_loss()->mutable_swav()->set_prototypes(120);
  metrics.ObserveSpec(spec);
  metrics.Observe(Report(6, std::log(100.0)), /*seconds=*/0.5, /*wait_seconds=*/0.25,
                  /*stall_ratio=*/0.5);
  metrics.Observe(Report(7, std::log(100.0)), 0.5, 0.25, 0.5);
  metrics.ObserveCheckpoint(3);
  const std::string text = registry.Render();
  const std::string labels = "{job=\"job_a\",rank=\"3\"} ";
  EXPECT_THAT(text, HasSubstr(absl::StrCat("seer_train_step", labels, "8\n")));
  EXPECT_THAT(text, HasSubstr(absl::StrCat("seer_train_images_total", labels, "32\n")));
  EXPECT_THAT(text, HasSubstr(absl::StrCat("seer_train_flops_total", labels, "2000\n")));
  EXPECT_THAT(text, HasSubstr(absl::StrCat("seer_train_data_stall_ratio", labels, "0.5\n")));
  EXPECT_THAT(text, HasSubstr(absl::StrCat("seer_swav_loss_over_ln_k_ratio", labels, "1\n")));
  EXPECT_THAT(text, HasSubstr("seer_train_step_seconds_sum{job=\"job_a\",phase=\"data\","
                              "rank=\"3\"} 0.5\n"));
  EXPECT_THAT(text, HasSubstr("seer_train_step_seconds_sum{job=\"job_a\",phase=\"checkpoint\","
                              "rank=\"3\"} 3\n"));
  EXPECT_THAT(text,
              HasSubstr("seer_train_spec_steps{job=\"job_a\",rank=\"3\",what=\"total\"} 9\n"));
  EXPECT_THAT(text,
              HasSubstr(absl::StrCat("seer_swav_codes_per_prototype_ratio", labels, "0.5\n")));
  for (const char* absent : {"nonfinite", "seer_train_mfu_ratio", "seer_swav_queue"})
    EXPECT_THAT(text, Not(HasSubstr(absent))) << "absent, not zero";
}

TEST(TrainMetricsTest, UtilisationIsMeasuredByThePeakOfTheDevice) {
  MetricsRegistry registry;
  TrainMetrics metrics(registry, Assignment(), 100, /*peak_flops=*/8000);
  metrics.Observe(Report(0, 1), /*seconds=*/0.5, 0, 0);  // 1000 FLOPs
  EXPECT_THAT(registry.Render(),
              HasSubstr("seer_train_mfu_ratio{job=\"job_a\",rank=\"3\"} 0.25\n"));
}

TEST(TrainMetricsTest, TheQueueOfFeaturesHasSeriesIfThereIsOne) {
  MetricsRegistry registry;
  TrainMetrics metrics(registry, Assignment(), 100, 0);
  engine::StepReport report = Report(0, 1);
  report.queue_fill_ratio = 0.75;
  report.queue_age_steps = 6;
  metrics.Observe(report, 1, 0, 0);
  EXPECT_THAT(
      registry.Render(),
      ::testing::AllOf(HasSubstr("seer_swav_queue_fill_ratio{job=\"job_a\",rank=\"3\"} 0.75\n"),
                       HasSubstr("seer_swav_queue_age_steps{job=\"job_a\",rank=\"3\"} 6\n")));
}

TEST(CollectiveMetricsTest, TellsOpAndGroup) {
  MetricsRegistry registry;
  CollectiveMetrics metrics(registry, RankLabels(Assignment()));
  metrics.Entered("norms", CollectiveKind::kAllReduce, 40);
  metrics.Entered("norms", CollectiveKind::kAllReduce, 60);
  metrics.Completed("norms", CollectiveKind::kAllReduce, 0.5);
  const std::string labels = "{group=\"norms\",job=\"job_a\",op=\"all-reduce\",rank=\"3\"} ";
  EXPECT_THAT(
      registry.Render(),
      ::testing::AllOf(HasSubstr(absl::StrCat("seer_collective_bytes_total", labels, "100\n")),
                       HasSubstr(absl::StrCat("seer_collective_seconds_sum", labels, "0.5\n")),
                       HasSubstr(absl::StrCat("seer_collective_seconds_count", labels, "1\n"))));
}

TEST(TrainMetricsTest, ASkippedStepIsCounted) {
  MetricsRegistry registry;
  TrainMetrics metrics(registry, Assignment(), 100, 0);
  engine::StepReport report = Report(0, 1);
  report.skipped = true;
  metrics.Observe(report, 1, 0, 0);
  EXPECT_THAT(registry.Render(),
              HasSubstr("seer_train_nonfinite_steps_total{action=\"skip\",job=\"job_a\","
                        "rank=\"3\"} 1\n"));
  report.overflow = true;
  report.loss_scale = 4096;
  metrics.Observe(report, 1, 0, 0);
  EXPECT_THAT(
      registry.Render(),
      ::testing::AllOf(HasSubstr("{action=\"lower_scale\",job=\"job_a\",rank=\"3\"} 1\n"),
                       HasSubstr("seer_train_loss_scale{job=\"job_a\",rank=\"3\"} 4096\n")));
}

class IdLogTest : public ::testing::Test {
 protected:
  IdLogTest() { spec_.mutable_data()->set_record_ids(true); }
  testing::TempDir dir_;
  v1::JobSpec spec_;
};

TEST_F(IdLogTest, OneLineAStepThatIsThereBeforeTheStepRuns) {
  ASSERT_OK_AND_ASSIGN(auto log, IdLog::Open(spec_, Assignment("file://" + dir_.path().string())));
  ASSERT_TRUE(log);
  engine::Batch batch;
  batch.step = 9;
  batch.image_ids.resize(2);
  batch.image_ids[0].fill(0);
  batch.image_ids[1].fill(0xab);
  ASSERT_OK(log->Write(batch));
  std::ifstream file(dir_ / "job_a/ids/attempt-2-rank-3.jsonl");  // while the log is open
  std::string line, more;
  ASSERT_TRUE(std::getline(file, line));
  const auto record = nlohmann::json::parse(line);
  EXPECT_EQ(record["step"], 9);
  std::string ab;
  for (int i = 0; i < 32; ++i) ab += "ab";
  EXPECT_EQ(record["ids"], (nlohmann::json{std::string(64, '0'), ab}));
  EXPECT_FALSE(std::getline(file, more));
}

TEST_F(IdLogTest, AJobThatDoesNotWantItHasNone) {
  spec_.mutable_data()->set_record_ids(false);
  ASSERT_OK_AND_ASSIGN(const auto log,
                       IdLog::Open(spec_, Assignment("file://" + dir_.path().string())));
  EXPECT_FALSE(log);
  EXPECT_TRUE(std::filesystem::is_empty(dir_.path()));
}

TEST_F(IdLogTest, AFolderThatCannotBeMade) {
  std::ofstream(dir_ / "file") << "x";
  EXPECT_THAT(IdLog::Open(spec_, Assignment("file://" + (dir_ / "file"))).status(),
              FailsWith(absl::StatusCode::kUnavailable, reason::kStorageFailed, "cannot write"));
}

}  // namespace
}  // namespace seer::worker
