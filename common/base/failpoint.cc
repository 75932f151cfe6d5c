#include "common/base/failpoint.h"

#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "common/base/error.h"

namespace seer {
namespace {

struct Armed {
  std::string action;
  int at = 1;  // which visit, counted from 1; of "slow": milliseconds
  int visits = 0;
};

struct Registry {
  absl::Mutex mu;
  std::map<std::string, Armed, std::less<>> armed ABSL_GUARDED_BY(mu);

  Registry() {
    const char* text = std::getenv("SEER_FAILPOINTS");
    if (text == nullptr) return;
    absl::MutexLock lock(&mu);
    for (const auto entry : absl::StrSplit(text, ',', absl::SkipEmpty())) {
      const std::pair<std::string, std::string> pair =
          absl::StrSplit(entry, absl::MaxSplits('=', 1));
      const std::vector<std::string> action = absl::StrSplit(pair.second, '@');
      Armed& point = armed[pair.first];
      point.action = action[0];
      if (action.size() > 1 && !absl::SimpleAtoi(action[1], &point.at)) point.at = 1;
    }
  }
};

Registry& TheRegistry() {
  static Registry* registry = new Registry;
  return *registry;
}

}  // namespace

absl::Status HitFailpoint(absl::string_view name) {
  Registry& registry = TheRegistry();
  std::string action;
  absl::Duration delay;
  {
    absl::MutexLock lock(&registry.mu);
    const auto it = registry.armed.find(name);
    if (it == registry.armed.end()) return absl::OkStatus();
    Armed& point = it->second;
    action = point.action;
    if (action == "slow") {
      delay = absl::Milliseconds(point.at);
    } else if (++point.visits != point.at) {
      return absl::OkStatus();
    }
  }
  if (action == "slow") {
    absl::SleepFor(delay);
    return absl::OkStatus();
  }
  if (action == "kill") kill(getpid(), SIGKILL);
  while (action == "hang") pause();
  return Error(absl::StatusCode::kUnavailable, reason::kStorageFailed,
               absl::StrCat("failpoint ", name));
}

}  // namespace seer
