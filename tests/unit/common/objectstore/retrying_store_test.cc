// Retries, hedges, length checks and the circuit breaker, on a clock that moves only when told.
#include "common/objectstore/retrying_store.h"

#include <gtest/gtest.h>

#include <atomic>
#include <map>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "common/base/error.h"
#include "common/objectstore/faulty_store.h"
#include "common/objectstore/memory_store.h"
#include "tests/support/forwarding_store.h"
#include "tests/support/status_matchers.h"

namespace seer {
namespace {

using testing::FailsWith;

absl::Status Unavailable() {
  return Error(absl::StatusCode::kUnavailable, reason::kStorageFailed, "HTTP 503 SlowDown");
}

class Recorder final : public StoreObserver {
 public:
  void OnAnswer(absl::string_view, absl::StatusCode code) override { ++answers[code]; }
  void OnRetry(absl::string_view, absl::Duration wait) override { waits.push_back(wait); }
  void OnHedge(bool won) override { ++(won ? hedges_won : hedges_lost); }
  void OnBreaker(CircuitBreaker::State state) override { states.push_back(state); }
  std::map<absl::StatusCode, int> answers;
  std::vector<absl::Duration> waits;
  std::vector<CircuitBreaker::State> states;
  int hedges_won = 0, hedges_lost = 0;
};

class RetryingStoreTest : public ::testing::Test {
 protected:
  RetryingStoreTest() {
    options_.observer = &seen_;
    options_.sleep = [this](absl::Duration wait) { clock_.Advance(wait); };
    options_.breaker.failures = 1000;
  }

  // Over a memory store whose faults the test sets.
  void Open() {
    memory_ = MakeMemoryStore();
    Faults faults;
    faults.fail = [this](absl::string_view operation, absl::string_view key) {
      return fail_ ? fail_(operation, key) : absl::OkStatus();
    };
    faults.corrupt = [this](absl::string_view key, std::string& bytes) {
      if (corrupt_) corrupt_(key, bytes);
    };
    store_ = std::make_unique<RetryingStore>(MakeFaultyStore(*memory_, faults), clock_, options_);
  }
  // The next `n` calls fail.
  void FailNext(int n) {
    fail_ = [n](absl::string_view, absl::string_view) mutable {
      return n-- > 0 ? Unavailable() : absl::OkStatus();
    };
  }

  FakeClock clock_;
  Recorder seen_;
  RetryingStoreOptions options_;
  std::function<absl::Status(absl::string_view, absl::string_view)> fail_;
  std::function<void(absl::string_view, std::string&)> corrupt_;
  std::unique_ptr<ObjectStore> memory_;
  std::unique_ptr<RetryingStore> store_;
};

TEST_F(RetryingStoreTest, EveryCallIsTriedAgain) {
  Open();
  FailNext(3);
  ASSERT_OK(store_->Put("k", "value"));
  FailNext(3);
  EXPECT_EQ(*store_->Get("k"), "value");
  FailNext(3);
  EXPECT_EQ(*store_->GetRange("k", 1, 2), "al");
  FailNext(3);
  EXPECT_EQ(store_->Stat("k")->size_bytes, 5);
  FailNext(3);
  EXPECT_EQ(store_->List("")->size(), 1u);
  FailNext(3);
  ASSERT_OK_AND_ASSIGN(const auto writer, store_->OpenWriter("w"));
  FailNext(3);
  ASSERT_OK(store_->Delete("k"));
  EXPECT_EQ(seen_.answers[absl::StatusCode::kUnavailable], 21);
  EXPECT_EQ(seen_.waits.size(), 21u);
}

TEST_F(RetryingStoreTest, WhatCannotGetBetterIsNotTriedAgain) {
  Open();
  EXPECT_THAT(store_->Get("absent"),
              FailsWith(absl::StatusCode::kNotFound, reason::kObjectNotFound, "absent"));
  int calls = 0;
  fail_ = [&](absl::string_view, absl::string_view) {
    ++calls;
    return Error(absl::StatusCode::kPermissionDenied, reason::kStorageAccessDenied, "no");
  };
  EXPECT_TRUE(absl::IsPermissionDenied(store_->Put("k", "x")));
  EXPECT_EQ(calls, 1);
  EXPECT_TRUE(seen_.waits.empty());
}

TEST_F(RetryingStoreTest, AttemptsAreBoundedAndSaid) {
  options_.max_attempts = 4;
  Open();
  FailNext(1000);
  EXPECT_THAT(store_->Get("k"), FailsWith(absl::StatusCode::kUnavailable, reason::kStorageFailed,
                                          "after 4 attempts: HTTP 503 SlowDown"));
  EXPECT_EQ(seen_.waits.size(), 3u);
}

TEST_F(RetryingStoreTest, WaitsGrowUpToABoundAndNoneGoesPastTheDeadline) {
  options_.max_attempts = 1000;
  options_.deadline = absl::Seconds(60);
  options_.max_backoff = absl::Seconds(2);
  Open();
  FailNext(100'000);
  const absl::Duration start = clock_.Steady();
  EXPECT_TRUE(absl::IsUnavailable(store_->Get("k").status()));
  EXPECT_LT(clock_.Steady() - start, absl::Seconds(60));
  EXPECT_GT(clock_.Steady() - start, absl::Seconds(57));  // the next wait would have ended after it
  absl::Duration bound = options_.first_backoff, longest;
  for (const absl::Duration wait : seen_.waits) {
    EXPECT_LT(wait, std::min(bound, options_.max_backoff));
    longest = std::max(longest, wait);
    bound *= 2;
  }
  EXPECT_GT(longest, absl::Seconds(1));  // of some 60 uniform in [0, 2 s)
}

TEST_F(RetryingStoreTest, BytesThatWereCutShortAreReadAgain) {
  Open();
  const std::string bytes(3'000'000, 'x');
  ASSERT_OK(memory_->Put("k", bytes));
  int cuts = 5;
  corrupt_ = [&](absl::string_view, std::string& read) {
    if (cuts-- > 0) read.resize(read.size() / 2);
  };
  EXPECT_TRUE(*store_->GetRange("k", 100, 1000) == bytes.substr(0, 1000));
  cuts = 5;
  EXPECT_TRUE(*store_->Get("k") == bytes);
  EXPECT_EQ(seen_.waits.size(), 10u);
  cuts = 1000;
  EXPECT_THAT(
      store_->GetRange("k", 0, 1000),
      FailsWith(absl::StatusCode::kUnavailable, reason::kStorageFailed, "500 bytes came of 1000"));
  cuts = 0;
  EXPECT_EQ(store_->GetRange("k", 2'999'990, 1000)->size(), 10u);  // the end is no cut
}

// Fails after it has written, as when the answer is lost.
class LosesAnswers final : public testing::ForwardingStore {
 public:
  using ForwardingStore::ForwardingStore;
  absl::Status PutIfAbsent(absl::string_view key, absl::string_view bytes) override {
    const absl::Status status = inner_.PutIfAbsent(key, bytes);
    return std::exchange(lost_, true) ? status : Unavailable();
  }

 private:
  bool lost_ = false;
};

TEST_F(RetryingStoreTest, AWriterWhoseAnswerWasLostStillKnowsThatItWon) {
  memory_ = MakeMemoryStore();
  RetryingStore mine(std::make_unique<LosesAnswers>(*memory_), clock_, options_);
  EXPECT_OK(mine.PutIfAbsent("k", "mine"));
  RetryingStore theirs(std::make_unique<LosesAnswers>(*memory_), clock_, options_);
  EXPECT_TRUE(absl::IsAlreadyExists(theirs.PutIfAbsent("k", "theirs")));
  EXPECT_EQ(*memory_->Get("k"), "mine");
}

TEST_F(RetryingStoreTest, TheBreakerLetsOneCallThroughAndClosesWithItsSuccess) {
  options_.breaker.failures = 5;
  options_.breaker.open_for = absl::Seconds(10);
  options_.max_attempts = 100;
  options_.deadline = absl::Minutes(5);
  Open();
  ASSERT_OK(memory_->Put("k", "value"));
  int calls = 0;
  fail_ = [&](absl::string_view, absl::string_view) {
    ++calls;
    return clock_.Steady() < absl::Seconds(100) ? Unavailable() : absl::OkStatus();
  };
  EXPECT_EQ(*store_->GetRange("k", 0, 5), "value");
  // 5 to open it, then one each 10 s: not hundreds.
  EXPECT_LT(calls, 5 + 12);
  ASSERT_FALSE(seen_.states.empty());
  EXPECT_EQ(seen_.states.front(), CircuitBreaker::State::kOpen);
  EXPECT_EQ(seen_.states.back(), CircuitBreaker::State::kClosed);
  EXPECT_LT(clock_.Steady(), absl::Seconds(115));
  // Once it answers nothing is slower than before.
  seen_.waits.clear();
  for (int i = 0; i < 100; ++i) EXPECT_OK(store_->GetRange("k", 0, 5));
  EXPECT_TRUE(seen_.waits.empty());
}

TEST_F(RetryingStoreTest, AnOpenBreakerIsNamedAtTheDeadline) {
  options_.breaker.failures = 3;
  options_.breaker.open_for = absl::Hours(1);
  Open();
  FailNext(1000);
  EXPECT_THAT(store_->Get("k"), FailsWith(absl::StatusCode::kUnavailable,
                                          reason::kStorageCircuitOpen, "HTTP 503 SlowDown"));
}

// A read takes 5 ms of the test's clock; one that is told to stall waits to be released.
class SlowStore final : public testing::ForwardingStore {
 public:
  SlowStore(ObjectStore& inner, FakeClock& clock) : ForwardingStore(inner), clock_(clock) {}
  absl::StatusOr<std::string> GetRange(absl::string_view key, int64_t offset,
                                       int64_t length) override {
    ++reads;
    if (stall.exchange(false)) released.WaitForNotification();
    clock_.Advance(absl::Milliseconds(5));
    return ForwardingStore::GetRange(key, offset, length);
  }

  std::atomic<int> reads{0};
  std::atomic<bool> stall{false};
  absl::Notification released;

 private:
  FakeClock& clock_;
};

// The first read hangs until the call has come back: without a second one this test never ends.
TEST_F(RetryingStoreTest, ASecondReadOvertakesOneThatHangs) {
  memory_ = MakeMemoryStore();
  ASSERT_OK(memory_->Put("k", "value"));
  auto slow = std::make_unique<SlowStore>(*memory_, clock_);
  SlowStore& inner = *slow;
  options_.hedge.ratio = 0.05;
  RetryingStore store(std::move(slow), clock_, options_);
  for (int i = 0; i < 40; ++i) ASSERT_OK(store.GetRange("k", 0, 5));  // 2 hedges saved up
  const int before = inner.reads;
  inner.stall = true;
  EXPECT_EQ(*store.GetRange("k", 0, 5), "value");
  inner.released.Notify();
  EXPECT_EQ(inner.reads, before + 2);
  EXPECT_EQ(seen_.hedges_won, 1);
}

TEST(HedgePolicy, WaitsForTheTimeThatMostReadsTake) {
  HedgePolicy policy({.quantile = 0.95, .ratio = 0.5, .min_delay = absl::Milliseconds(1)});
  EXPECT_EQ(policy.BeginRead(), absl::InfiniteDuration());  // nothing is known
  for (int i = 1; i <= 100; ++i) policy.RecordLatency(absl::Milliseconds(i));
  EXPECT_GE(policy.BeginRead(), absl::Milliseconds(85));
  EXPECT_LE(policy.BeginRead(), absl::Milliseconds(97));
  for (int i = 0; i < 400; ++i) policy.RecordLatency(absl::Milliseconds(3));
  EXPECT_EQ(policy.BeginRead(), absl::Milliseconds(3));  // what was slow is forgotten
}

TEST(HedgePolicy, SecondReadsAreAFewPercentAtMost) {
  HedgePolicy policy({.ratio = 0.03});
  int hedges = 0;
  for (int i = 0; i < 10'000; ++i) {
    policy.BeginRead();
    hedges += policy.TakeHedge();
  }
  EXPECT_GE(hedges, 299);
  EXPECT_LE(hedges, 300);
  // Those that were not taken are saved up, within a bound.
  for (int i = 0; i < 10'000; ++i) policy.BeginRead();
  hedges = 0;
  while (policy.TakeHedge()) ++hedges;
  EXPECT_EQ(hedges, HedgePolicy::kSavedHedges);
}

TEST(CircuitBreaker, OpensAfterFailuresInARowAlone) {
  CircuitBreaker breaker({.failures = 3, .open_for = absl::Seconds(5)});
  const absl::Duration t = absl::Seconds(100);
  for (int i = 0; i < 10; ++i) {
    breaker.Record(false, t);
    breaker.Record(false, t);
    breaker.Record(true, t);
  }
  EXPECT_TRUE(breaker.Admit(t).admitted);
  for (int i = 0; i < 3; ++i) breaker.Record(false, t);
  const auto refused = breaker.Admit(t + absl::Seconds(1));
  EXPECT_FALSE(refused.admitted);
  EXPECT_EQ(refused.wait, absl::Seconds(4));
  // Late failures of calls that were under way do not lengthen it.
  breaker.Record(false, t + absl::Seconds(4));
  EXPECT_TRUE(breaker.Admit(t + absl::Seconds(5)).admitted);
  EXPECT_FALSE(breaker.Admit(t + absl::Seconds(5)).admitted);  // one probe at a time
  EXPECT_EQ(breaker.Record(false, t + absl::Seconds(6)), CircuitBreaker::State::kOpen);
  EXPECT_FALSE(breaker.Admit(t + absl::Seconds(7)).admitted);
  EXPECT_TRUE(breaker.Admit(t + absl::Seconds(11)).admitted);
  EXPECT_EQ(breaker.Record(true, t + absl::Seconds(11)), CircuitBreaker::State::kClosed);
  EXPECT_TRUE(breaker.Admit(t + absl::Seconds(11)).admitted);
}

}  // namespace
}  // namespace seer
