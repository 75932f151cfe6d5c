#include "common/base/await.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

namespace seer {
namespace {

using Clock = std::chrono::steady_clock;

TEST(AwaitFor, AConditionThatHoldsIsNotWaitedFor) {
  absl::Mutex mu;
  bool flag = true;
  absl::MutexLock lock(&mu);
  EXPECT_TRUE(AwaitFor(mu, absl::Condition(&flag), absl::ZeroDuration()));
  EXPECT_TRUE(AwaitFor(mu, absl::Condition(&flag), absl::InfiniteDuration()));
  flag = false;
  EXPECT_FALSE(AwaitFor(mu, absl::Condition(&flag), absl::ZeroDuration()));
  EXPECT_FALSE(AwaitFor(mu, absl::Condition(&flag), -absl::Seconds(1)));
}

TEST(AwaitFor, TheTimePasses) {
  absl::Mutex mu;
  bool flag = false;
  absl::MutexLock lock(&mu);
  const auto before = Clock::now();
  EXPECT_FALSE(AwaitFor(mu, absl::Condition(&flag), absl::Milliseconds(30)));
  EXPECT_GE(Clock::now() - before, std::chrono::milliseconds(30));
}

TEST(AwaitFor, AChangeEndsTheWait) {
  absl::Mutex mu;
  bool flag = false;
  std::thread setter([&] {
    absl::MutexLock lock(&mu);
    flag = true;
  });
  {
    absl::MutexLock lock(&mu);
    EXPECT_TRUE(AwaitFor(mu, absl::Condition(&flag), absl::Hours(1)));
    EXPECT_TRUE(flag);
  }
  setter.join();
}

TEST(AwaitFor, AMutexThatIsHeldWhenTheTimeIsUpHoldsUpNobodyElse) {
  absl::Mutex held, other;
  bool flag = false;
  std::atomic<bool> over{false};
  std::thread waits([&] {
    absl::MutexLock lock(&held);
    EXPECT_FALSE(AwaitFor(held, absl::Condition(&flag), absl::Milliseconds(1)));
    over = true;
  });
  {
    absl::MutexLock lock(&held);
    absl::MutexLock also(&other);
    EXPECT_FALSE(AwaitFor(other, absl::Condition(&flag), absl::Milliseconds(50)));
  }
  waits.join();
  EXPECT_TRUE(over);
}

// The mutex may be destroyed as soon as the wait is over, by either way.
TEST(AwaitFor, ManyWaitsOfManyThreads) {
  std::vector<std::thread> threads;
  std::atomic<int> late{0}, told{0};
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&, i] {
      for (int round = 0; round < 200; ++round) {
        absl::Mutex mu;
        bool flag = false;
        std::thread setter;
        if ((round + i) % 2 == 0) {
          setter = std::thread([&] {
            absl::MutexLock lock(&mu);
            flag = true;
          });
        }
        {
          absl::MutexLock lock(&mu);
          const bool held =
              AwaitFor(mu, absl::Condition(&flag), absl::Microseconds(100 * (round % 5)));
          EXPECT_EQ(held, flag);
          ++(held ? told : late);
        }
        if (setter.joinable()) setter.join();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(late + told, 1600);
  EXPECT_GE(late, 800);
}

}  // namespace
}  // namespace seer
