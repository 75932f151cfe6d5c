#include "common/base/await.h"

#include <pthread.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>

#include "common/base/check.h"
#include "common/base/thread.h"

namespace seer {
namespace {

using SteadyTime = std::chrono::steady_clock::time_point;

constexpr std::chrono::milliseconds kBusy(1);  // until a mutex that somebody holds is tried again

// One who waits. Guarded by `mu` but for what the alarms' own lock guards.
struct Sleeper {
  absl::Mutex& mu;
  bool late = false;
  std::multimap<SteadyTime, Sleeper*>::iterator place;  // while `waits`
  bool waits = true;
};

// One thread that tells those who wait for something that their time is up. It never waits for
// their mutexes, so that they may leave while they hold them. For the life of the process; a child
// that goes on without exec gets its own.
class Alarms {
 public:
  static Alarms& Shared() {
    static const bool forked_is_noticed =
        ::pthread_atfork(nullptr, nullptr, [] { shared_ = nullptr; }) == 0;
    SEER_CHECK(forked_is_noticed);
    Alarms* shared = shared_;
    if (shared != nullptr) return *shared;
    auto fresh = std::unique_ptr<Alarms>(new Alarms());
    if (!shared_.compare_exchange_strong(shared, fresh.get())) return *shared;
    fresh->thread_ = Thread("alarms", [alarms = fresh.get()] { alarms->Run(); });
    return *fresh.release();
  }
  void Add(Sleeper& sleeper, SteadyTime due) {
    std::lock_guard lock(mu_);
    sleeper.place = sleepers_.emplace(due, &sleeper);
    if (sleeper.place == sleepers_.begin()) changed_.notify_one();
  }
  void Remove(Sleeper& sleeper) {
    std::lock_guard lock(mu_);
    if (sleeper.waits) sleepers_.erase(sleeper.place);
  }

 private:
  Alarms() = default;

  [[noreturn]] void Run() {
    std::unique_lock lock(mu_);
    while (true) {
      if (sleepers_.empty()) {
        changed_.wait(lock);
        continue;
      }
      const SteadyTime now = std::chrono::steady_clock::now();
      SteadyTime next = sleepers_.begin()->first;
      for (auto it = sleepers_.begin(); it != sleepers_.end() && it->first <= now;) {
        next = now + kBusy;
        Sleeper& sleeper = *it->second;
        if (!sleeper.mu.TryLock()) {
          ++it;
          continue;
        }
        it = sleepers_.erase(it);
        sleeper.waits = false;
        sleeper.late = true;
        sleeper.mu.Unlock();
      }
      changed_.wait_until(lock, next);
    }
  }

  static inline std::atomic<Alarms*> shared_ = nullptr;

  std::mutex mu_;
  std::condition_variable changed_;
  std::multimap<SteadyTime, Sleeper*> sleepers_;
  Thread thread_;
};

}  // namespace

bool AwaitFor(absl::Mutex& mu, const absl::Condition& condition, absl::Duration timeout) {
  if (condition.Eval()) return true;
  if (timeout <= absl::ZeroDuration()) return false;
  constexpr absl::Duration kForEver = absl::Hours(24 * 365);
  if (timeout > kForEver) {
    mu.Await(condition);
    return true;
  }
  Sleeper sleeper{.mu = mu, .place = {}};
  Alarms::Shared().Add(sleeper,
                       std::chrono::steady_clock::now() + absl::ToChronoNanoseconds(timeout));
  const auto woken = [&] { return sleeper.late || condition.Eval(); };
  mu.Await(absl::Condition(&woken));
  Alarms::Shared().Remove(sleeper);
  return condition.Eval();
}

}  // namespace seer
