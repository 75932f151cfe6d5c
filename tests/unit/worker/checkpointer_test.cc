#include "worker/trainer/checkpointer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "common/base/digest.h"
#include "common/base/error.h"
#include "common/objectstore/faulty_store.h"
#include "common/objectstore/memory_store.h"
#include "tests/support/status_matchers.h"

namespace seer::worker {
namespace {

using engine::CheckpointFile;
using ::seer::testing::FailsWith;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr absl::Duration kDeadline = absl::Seconds(30);

class FakeSnapshot final : public engine::CheckpointSnapshot {
 public:
  explicit FakeSnapshot(int64_t step) : step_(step) {}
  int64_t step() const override { return step_; }
  int64_t size_bytes() const override { return static_cast<int64_t>(Bytes().size()); }
  absl::StatusOr<CheckpointFile> Write(ObjectStore& store, const std::string& prefix) override {
    SEER_RETURN_IF_ERROR(store.Put(prefix + "/rank-0.safetensors", Bytes()));
    return CheckpointFile{"rank-0.safetensors", size_bytes(), Sha256Hex(Bytes())};
  }

 private:
  std::string Bytes() const { return absl::StrCat("weights after step ", step_); }
  const int64_t step_;
};

// A coordinator that answers in turn: `answers`, then "committed".
class CheckpointerTest : public ::testing::Test {
 protected:
  std::unique_ptr<Checkpointer> Make(ObjectStore& store) {
    return std::make_unique<Checkpointer>(
        store, "job_a/checkpoints",
        [this](int64_t step, const CheckpointFile& file) -> absl::StatusOr<bool> {
          absl::MutexLock lock(&mu_);
          steps_.push_back(step);
          file_ = file;
          mu_.Await(absl::Condition(&open_));
          if (answers_.empty()) return true;
          auto answer = answers_.front();
          if (answers_.size() > 1 || !repeat_) answers_.pop_front();
          return answer;
        },
        metrics_);
  }
  static std::unique_ptr<FakeSnapshot> At(int64_t step) {
    return std::make_unique<FakeSnapshot>(step);
  }
  void Open(bool open) {
    absl::MutexLock lock(&mu_);
    open_ = open;
  }
  std::vector<int64_t> Reported(size_t count = 0) {
    absl::MutexLock lock(&mu_);
    const auto there = [this, count]()
                           ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return steps_.size() >= count; };
    EXPECT_TRUE(mu_.AwaitWithTimeout(absl::Condition(&there), kDeadline));
    return steps_;
  }
  const std::unique_ptr<ObjectStore> store_ = MakeMemoryStore();
  MetricsRegistry metrics_;
  absl::Mutex mu_;
  bool open_ ABSL_GUARDED_BY(mu_) = true;
  bool repeat_ = false;  // the last answer stands
  std::deque<absl::StatusOr<bool>> answers_ ABSL_GUARDED_BY(mu_);
  std::vector<int64_t> steps_ ABSL_GUARDED_BY(mu_);
  CheckpointFile file_ ABSL_GUARDED_BY(mu_);
};

TEST_F(CheckpointerTest, WhatIsReportedIsWhatLiesInTheStore) {
  auto checkpointer = Make(*store_);
  ASSERT_OK(checkpointer->Submit(At(40)));
  ASSERT_OK(checkpointer->Finish());
  ASSERT_OK_AND_ASSIGN(const std::string bytes,
                       store_->Get("job_a/checkpoints/40/rank-0.safetensors"));
  absl::MutexLock lock(&mu_);
  EXPECT_THAT(steps_, ElementsAre(40));
  EXPECT_EQ(file_.name, "rank-0.safetensors");
  EXPECT_EQ(file_.size_bytes, static_cast<int64_t>(bytes.size()));
  EXPECT_EQ(file_.sha256, Sha256Hex(bytes));
}

TEST_F(CheckpointerTest, ReportsUntilTheCoordinatorHasCommitted) {
  answers_ = {absl::UnavailableError("away"), absl::DeadlineExceededError("slow"), false, false};
  auto checkpointer = Make(*store_);
  ASSERT_OK(checkpointer->Submit(At(1)));
  ASSERT_OK(checkpointer->Finish());
  EXPECT_THAT(Reported(), ElementsAre(1, 1, 1, 1, 1));
}

// It cancels calls that run when its time to drain is up.
TEST_F(CheckpointerTest, ACoordinatorThatShutsDownFailsNoCheckpoint) {
  answers_ = {absl::CancelledError("CANCELLED"), absl::UnknownError("Stream removed")};
  auto checkpointer = Make(*store_);
  ASSERT_OK(checkpointer->Submit(At(1)));
  ASSERT_OK(checkpointer->Finish());
  EXPECT_THAT(Reported(), ElementsAre(1, 1, 1));
}

TEST_F(CheckpointerTest, TrainingGoesOnWhileOneIsInFlight) {
  Open(false);
  auto checkpointer = Make(*store_);
  ASSERT_OK(checkpointer->Submit(At(1)));
  Reported(1);  // and Submit has returned
  EXPECT_OK(checkpointer->status());
  Open(true);
  ASSERT_OK(checkpointer->Finish());
}

TEST_F(CheckpointerTest, OneIsInFlightAtATime) {
  Open(false);
  auto checkpointer = Make(*store_);
  ASSERT_OK(checkpointer->Submit(At(1)));
  std::thread second([&] { EXPECT_OK(checkpointer->Submit(At(2))); });
  Reported(1);
  EXPECT_THAT(store_->Get("job_a/checkpoints/2/rank-0.safetensors"),
              testing::StatusIs(absl::StatusCode::kNotFound));
  Open(true);
  second.join();
  ASSERT_OK(checkpointer->Finish());
  EXPECT_THAT(Reported(), ElementsAre(1, 2));
}

TEST_F(CheckpointerTest, AFailedWriteIsReturnedWithItsStepAndCounted) {
  Faults faults;
  faults.disk_bytes = 3;
  const auto full = MakeFaultyStore(*store_, faults);
  auto checkpointer = Make(*full);
  ASSERT_OK(checkpointer->Submit(At(7)));
  const auto fails =
      FailsWith(absl::StatusCode::kResourceExhausted, reason::kDiskFull, "checkpoint at step 7");
  EXPECT_THAT(checkpointer->Finish(), fails);
  EXPECT_THAT(checkpointer->status(), fails) << "it stays";
  EXPECT_THAT(checkpointer->Submit(At(8)), fails);
  EXPECT_THAT(Reported(), ElementsAre());
  EXPECT_THAT(metrics_.Render(),
              HasSubstr("seer_checkpoint_failures_total{reason=\"DISK_FULL\"} 1"));
}

TEST_F(CheckpointerTest, ARefusedReportIsFinal) {
  answers_ = {Error(absl::StatusCode::kFailedPrecondition, reason::kStaleAttempt, "stale")};
  auto checkpointer = Make(*store_);
  ASSERT_OK(checkpointer->Submit(At(1)));
  EXPECT_THAT(checkpointer->Finish(),
              FailsWith(absl::StatusCode::kFailedPrecondition, reason::kStaleAttempt, "stale"));
  EXPECT_THAT(Reported(), ElementsAre(1));
}

TEST_F(CheckpointerTest, TheDestructorGivesUpWhatIsNotCommitted) {
  answers_ = {absl::UnavailableError("away")};
  repeat_ = true;
  auto checkpointer = Make(*store_);
  ASSERT_OK(checkpointer->Submit(At(1)));
  Reported(2);
  checkpointer.reset();  // must not hang
  EXPECT_OK(store_->Get("job_a/checkpoints/1/rank-0.safetensors"));
}

TEST_F(CheckpointerTest, StagesAreMeasured) {
  auto checkpointer = Make(*store_);
  checkpointer->ObserveSnapshot(absl::Seconds(2));
  ASSERT_OK(checkpointer->Submit(At(1)));
  ASSERT_OK(checkpointer->Finish());
  const std::string text = metrics_.Render();
  for (const char* stage : {"snapshot", "write", "commit"})
    EXPECT_THAT(text,
                HasSubstr(absl::StrCat("seer_checkpoint_seconds_count{stage=\"", stage, "\"} 1")));
  EXPECT_THAT(text, HasSubstr("seer_checkpoint_seconds_sum{stage=\"snapshot\"} 2"));
  EXPECT_THAT(text, HasSubstr("seer_checkpoint_bytes 20"));
}

}  // namespace
}  // namespace seer::worker
