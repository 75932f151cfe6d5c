#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <vector>

#include "absl/synchronization/notification.h"
#include "common/base/clock.h"
#include "common/base/loop.h"

namespace seer {
namespace {

TEST(FakeLoopTest, RunsTasksInOrderOfTimeThenOfPosting) {
  FakeClock clock;
  FakeLoop loop(clock);
  std::vector<int> ran;
  loop.After(absl::Seconds(2), [&] { ran.push_back(3); });
  loop.Post([&] { ran.push_back(1); });
  loop.Post([&] {
    ran.push_back(2);
    loop.After(absl::Seconds(5), [&] { ran.push_back(4); });
  });
  loop.Advance(absl::Seconds(3));
  EXPECT_EQ(ran, (std::vector<int>{1, 2, 3}));
  loop.Advance(absl::Seconds(2));
  EXPECT_EQ(ran, (std::vector<int>{1, 2, 3, 4}));
  EXPECT_EQ(clock.Steady(), absl::Seconds(5));
}

TEST(ThreadLoopTest, RunsPostedTasksInOrderOnItsThread) {
  ThreadLoop loop("test", Clock::Real());
  absl::Notification done;
  std::vector<int> ran;
  bool current = false;
  loop.After(absl::Milliseconds(20), [&] { done.Notify(); });
  for (int i = 0; i < 100; ++i) loop.Post([&ran, i] { ran.push_back(i); });
  loop.Post([&] { current = loop.IsCurrent(); });
  ASSERT_TRUE(done.WaitForNotificationWithTimeout(absl::Seconds(30)));
  loop.Stop();
  ASSERT_EQ(ran.size(), 100u);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(ran[i], i);
  EXPECT_TRUE(current);
  EXPECT_FALSE(loop.IsCurrent());
}

// Under load there is always a task that is ready; leases must run out all the same.
TEST(ThreadLoopTest, ATimerIsNotStarvedByTasksThatKeepComing) {
  absl::Notification fired;
  std::atomic<bool> stop{false};
  std::function<void()> again;
  ThreadLoop loop("test", Clock::Real());
  again = [&] {
    if (!stop) loop.Post([&] { again(); });
  };
  loop.Post([&] { again(); });
  loop.After(absl::Milliseconds(5), [&] { fired.Notify(); });
  EXPECT_TRUE(fired.WaitForNotificationWithTimeout(absl::Seconds(20)));
  stop = true;
}

// After a pause of the loop, heartbeats that came meanwhile count before the tick that looks for
// silent workers.
TEST(ThreadLoopTest, WhatWasPostedBeforeATimerIsSeenToBeDueGoesFirst) {
  FakeClock clock;
  absl::Notification blocked, release, done;
  std::vector<int> ran;
  ThreadLoop loop("test", clock);
  loop.Post([&] {
    blocked.Notify();
    release.WaitForNotification();
  });
  blocked.WaitForNotification();
  loop.After(absl::Seconds(1), [&] {
    ran.push_back(2);
    done.Notify();
  });
  clock.Advance(absl::Seconds(60));
  loop.Post([&] { ran.push_back(1); });
  release.Notify();
  ASSERT_TRUE(done.WaitForNotificationWithTimeout(absl::Seconds(20)));
  loop.Stop();
  EXPECT_EQ(ran, (std::vector<int>{1, 2}));
}

}  // namespace
}  // namespace seer
