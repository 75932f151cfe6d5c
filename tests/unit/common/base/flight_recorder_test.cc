#include "common/base/flight_recorder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <thread>

#include "absl/strings/str_cat.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace seer {
namespace {

using ::seer::testing::FailsWith;
using EventKind = FlightView::EventKind;

class FlightRecorderTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(memory_, FlightMemory::Create());
    EXPECT_EQ(memory_->Read(), std::nullopt) << "nobody has written yet";
    ASSERT_OK_AND_ASSIGN(recorder_, FlightRecorder::Open(memory_->path(), clock_));
  }
  FlightView Read() {
    const auto view = memory_->Read();
    EXPECT_TRUE(view.has_value());
    return view.value_or(FlightView());
  }

  FakeClock clock_;
  std::unique_ptr<FlightMemory> memory_;
  std::unique_ptr<FlightRecorder> recorder_;
};

TEST_F(FlightRecorderTest, AReaderSeesWhatTheRankDoesAndSinceWhen) {
  EXPECT_EQ(Read().pid, ::getpid());
  EXPECT_EQ(Read().doing, Doing::kStarting);
  clock_.Advance(absl::Seconds(3));
  const absl::Duration began = clock_.Steady();
  {
    const DoingScope joining(recorder_.get(), Doing::kJoining);
    clock_.Advance(absl::Seconds(1));
    EXPECT_EQ(Read().doing, Doing::kJoining);
    EXPECT_EQ(Read().since, began);
    EXPECT_EQ(Read().detail, "joins the gang");
  }
  EXPECT_EQ(Read().doing, Doing::kStarting);
  EXPECT_EQ(Read().since, clock_.Steady());
  recorder_->BeginStep(41);
  EXPECT_EQ(Read().step, 41);
  const DoingScope nothing(nullptr, Doing::kData);  // without a recorder
}

TEST_F(FlightRecorderTest, CollectivesAreNumberedWithinTheirGroup) {
  const int world = recorder_->AddGroup("world", 0, 4), norms = recorder_->AddGroup("norms", 2, 2);
  EXPECT_EQ(recorder_->Entered(norms, CollectiveKind::kAllReduce, 40), 1);
  EXPECT_EQ(recorder_->Entered(world, CollectiveKind::kAllGather, 80), 1);
  EXPECT_EQ(recorder_->Entered(norms, CollectiveKind::kAllReduce, 50), 2);
  const Doing before = recorder_->BeginWait(norms, 1, CollectiveKind::kAllReduce);
  EXPECT_EQ(before, Doing::kStarting);
  FlightView view = Read();
  EXPECT_EQ(view.doing, Doing::kCollective);
  EXPECT_EQ(view.detail, "all-reduce 1 of norms");
  ASSERT_EQ(view.groups.size(), 2u);
  EXPECT_EQ(view.groups[1].name, "norms");
  EXPECT_EQ(view.groups[1].first_rank, 2);
  EXPECT_EQ(view.groups[1].ranks, 2);
  EXPECT_EQ(view.groups[1].entered, 2);
  EXPECT_EQ(view.groups[1].completed, 0);
  EXPECT_EQ(view.groups[1].bytes, 50);
  EXPECT_EQ(view.groups[0].newest, CollectiveKind::kAllGather);
  recorder_->Completed(norms, 1, CollectiveKind::kAllReduce);
  recorder_->Begin(before);
  view = Read();
  EXPECT_EQ(view.groups[1].completed, 1);
  EXPECT_EQ(view.detail, "");
  recorder_->StepDone(0);
  EXPECT_EQ(Read().groups[1].completed, 2) << "a step that is over has waited for all of them";
}

// Writes down what it is told.
class Notes final : public CollectiveObserver {
 public:
  void Entered(const std::string& group, CollectiveKind kind, int64_t bytes) override {
    lines.push_back(absl::StrCat(CollectiveName(kind), " of ", group, ": ", bytes, " bytes"));
  }
  void Completed(const std::string& group, CollectiveKind kind, double seconds) override {
    lines.push_back(absl::StrCat(CollectiveName(kind), " of ", group, ": ", seconds, " s"));
  }
  std::vector<std::string> lines;
};

TEST_F(FlightRecorderTest, AnObserverIsToldOfCollectivesAndOfTheirTime) {
  const int world = recorder_->AddGroup("world", 0, 2);
  Notes notes;
  recorder_->SetObserver(notes);
  const int norms = recorder_->AddGroup("norms", 0, 2);
  const int64_t first = recorder_->Entered(world, CollectiveKind::kAllReduce, 8);
  clock_.Advance(absl::Seconds(1));
  const int64_t second = recorder_->Entered(norms, CollectiveKind::kBarrier, 0);
  clock_.Advance(absl::Seconds(2));
  recorder_->Completed(world, first, CollectiveKind::kAllReduce);
  recorder_->StepDone(0);  // what is open then was not waited for
  recorder_->Completed(norms, second, CollectiveKind::kBarrier);
  EXPECT_THAT(notes.lines,
              ::testing::ElementsAre("all-reduce of world: 8 bytes", "barrier of norms: 0 bytes",
                                     "all-reduce of world: 3 s"));
}

TEST_F(FlightRecorderTest, AStepsTimeIsSplitByWhatTheRankDid) {
  recorder_->Begin(Doing::kHost);
  recorder_->StepDone(0);  // what was before the first step counts for none
  const auto step = [&](double scale) {
    const auto pass = [&](double seconds) { clock_.Advance(absl::Seconds(seconds * scale)); };
    pass(1);
    {
      const DoingScope data(recorder_.get(), Doing::kData);
      pass(2);
    }
    const DoingScope compute(recorder_.get(), Doing::kCompute);
    pass(5);
    const Doing before = recorder_->BeginWait(0, 1, CollectiveKind::kBarrier);
    pass(4);
    recorder_->Begin(before);
    pass(1);
  };
  step(1);
  recorder_->StepDone(/*copy_seconds=*/0.5);
  const StepSplit first = Read().split;
  EXPECT_NEAR(first.input_seconds, 0.1 * 2, 1e-9) << "a mean over it and the one before, of 0";
  EXPECT_NEAR(first.compute_seconds, 0.1 * 5.5, 1e-9);
  EXPECT_NEAR(first.host_seconds, 0.1 * 1.5, 1e-9);
  EXPECT_NEAR(first.wait_seconds, 0.1 * 4, 1e-9);
  for (int i = 0; i < 200; ++i) {
    step(2);
    recorder_->StepDone(0);
  }
  EXPECT_NEAR(Read().split.input_seconds, 4, 1e-6);
  EXPECT_NEAR(Read().split.compute_seconds, 12, 1e-6);
  EXPECT_NEAR(Read().split.host_seconds, 2, 1e-6);
  EXPECT_NEAR(Read().split.wait_seconds, 8, 1e-6);
  EXPECT_EQ(Read().steps_done, 202);
}

TEST_F(FlightRecorderTest, KeepsTheLastEventsInTheirOrder) {
  const int world = recorder_->AddGroup("world", 0, 2);
  for (int i = 0; i < 1000; ++i) {
    clock_.Advance(absl::Seconds(1));
    recorder_->Entered(world, CollectiveKind::kReduceScatter, i);
  }
  const FlightView view = Read();
  ASSERT_EQ(view.events.size(), static_cast<size_t>(FlightRecorder::kEvents));
  for (size_t i = 0; i < view.events.size(); ++i) {
    const FlightView::Event& event = view.events[i];
    EXPECT_EQ(event.number, 1000 - FlightRecorder::kEvents + static_cast<int64_t>(i) + 1);
    EXPECT_EQ(event.kind, EventKind::kEntered);
    EXPECT_EQ(event.collective, CollectiveKind::kReduceScatter);
    EXPECT_EQ(event.bytes, event.number - 1);
    if (i > 0) EXPECT_EQ(event.at - view.events[i - 1].at, absl::Seconds(1));
  }
}

TEST_F(FlightRecorderTest, GroupsBeyondTheLastAreNotRecorded) {
  for (int i = 0; i < FlightRecorder::kGroups; ++i)
    EXPECT_EQ(recorder_->AddGroup(absl::StrCat("a group with a very long name, number ", i), 0, 2),
              i);
  const int beyond = recorder_->AddGroup("beyond", 0, 2);
  EXPECT_EQ(beyond, -1);
  const int64_t number = recorder_->Entered(beyond, CollectiveKind::kBarrier, 0);
  recorder_->BeginWait(beyond, number, CollectiveKind::kBarrier);
  EXPECT_EQ(Read().doing, Doing::kCollective);
  EXPECT_EQ(Read().detail, "");
  recorder_->Completed(beyond, number, CollectiveKind::kBarrier);
  EXPECT_EQ(Read().groups.size(), static_cast<size_t>(FlightRecorder::kGroups));
  EXPECT_EQ(Read().groups[0].name, "a group with a very long name, n");
}

TEST_F(FlightRecorderTest, AReaderSeesChangesWhole) {
  const int world = recorder_->AddGroup("world", 0, 2);
  std::atomic<bool> stop = false;
  std::thread writer([&] {
    while (!stop) {
      const int64_t number = recorder_->Entered(world, CollectiveKind::kAllReduce, 8);
      recorder_->BeginWait(world, number, CollectiveKind::kAllReduce);
      recorder_->Completed(world, number, CollectiveKind::kAllReduce);
      recorder_->Begin(Doing::kCompute);
      ::usleep(20);
    }
  });
  constexpr int kReads = 2000;
  int torn = 0;  // of a writer that was not given the processor in the middle of a change
  for (int i = 0; i < kReads; ++i) {
    const FlightView view = Read();
    const FlightView::Group& group = view.groups.at(0);
    const std::string waits = absl::StrCat("all-reduce ", group.entered, " of world");
    torn += group.entered - group.completed > 1 || group.entered < group.completed ||
            (view.doing == Doing::kCollective && view.detail != waits);
  }
  stop = true;
  writer.join();
  EXPECT_LT(torn, kReads / 100);
}

TEST(FlightRecorder, IsReadWhileItsProcessIsStoppedAndAfterItsEnd) {
  ASSERT_OK_AND_ASSIGN(const auto memory, FlightMemory::Create());
  const std::string path = memory->path();
  const pid_t child = ::fork();
  if (child == 0) {
    const auto recorder = FlightRecorder::Open(path);
    if (!recorder.ok()) ::_exit(1);
    (*recorder)->BeginStep(7);
    (*recorder)->Begin(Doing::kData);
    ::raise(SIGSTOP);
    ::_exit(0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, WUNTRACED), child);
  ASSERT_TRUE(WIFSTOPPED(status));
  const auto view = memory->Read();
  ASSERT_TRUE(view.has_value());
  EXPECT_EQ(view->pid, child);
  EXPECT_EQ(view->step, 7);
  EXPECT_EQ(view->doing, Doing::kData);
  ::kill(child, SIGKILL);
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(memory->Read()->step, 7);
}

TEST(FlightRecorder, RefusesWhatIsNoMemoryOfItsOwn) {
  const testing::TempDir dir;
  EXPECT_THAT(FlightRecorder::Open(dir / "nowhere").status(),
              FailsWith(absl::StatusCode::kNotFound, reason::kStorageFailed, dir.path().string()));
  std::ofstream(dir / "short") << "something else";
  EXPECT_THAT(
      FlightRecorder::Open(dir / "short").status(),
      FailsWith(absl::StatusCode::kUnavailable, reason::kStorageFailed, dir.path().string()));
}

}  // namespace
}  // namespace seer
