#include "coordinator/services/leadership.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/log.h"

namespace seer::coordinator {
namespace {

constexpr int kAsksPerLease = 5;
constexpr double kOwnShare = 0.9;

}  // namespace

Leadership::Leadership(LeaderLease& lease, CoreRunner& runner, Clock& clock, std::string address)
    : lease_(lease),
      runner_(runner),
      clock_(clock),
      address_(std::move(address)),
      thread_("leadership", absl::ZeroDuration(), lease.duration() / kAsksPerLease,
              [this] { AskOnce(); }) {}

Leadership::~Leadership() {
  thread_.Stop();
  // Nothing is committed any more before another one may begin.
  runner_.StandBy(NotLeader(""));
  runner_.Read([](const Core&, Store&) { return absl::OkStatus(); }).IgnoreError();
  if (const absl::Status resigned = lease_.Resign(); !resigned.ok())
    LogWarn("leader_lease_not_given_back", {{"error", StatusText(resigned)}});
}

void Leadership::AskOnce() {
  const absl::Duration asked = clock_.Steady();
  const auto state = lease_.Campaign(address_);
  if (!state.ok()) {
    if (!std::exchange(said_away_, true))
      LogWarn("leader_lease_not_known", {{"error", StatusText(state.status())}});
    // Another one may reach the database.
    if (clock_.Steady() >= until_)
      NotHeld(WithContext(NotLeader(""), absl::StrCat("its database: ", state.status().message())));
    return;
  }
  said_away_ = false;
  if (state->term > 0) return Held(state->term, asked + kOwnShare * lease_.duration());
  NotHeld(NotLeader(state->leader));
}

void Leadership::Held(int64_t term, absl::Duration until) {
  // The answer lay there while this process was stopped.
  if (clock_.Steady() >= until) return NotHeld(NotLeader(""));
  absl::Status failure;
  {
    absl::MutexLock lock(&mu_);
    failure = std::exchange(load_failure_, absl::OkStatus());
    if (failure.ok()) {
      // After a gap, or in another term, others may have led: what is in memory may be stale, and
      // what was to be done in files was dropped.
      const bool leads = runner_.leads() && term == term_;
      until_ = until;
      runner_.Extend(until);
      if (loading_ || leads) return;
      loading_ = true;
      term_ = term;
    }
  }
  if (!failure.ok()) {  // perhaps another one can
    LogError("cannot_lead", {{"error", StatusText(failure)}});
    lease_.Resign().IgnoreError();
    return NotHeld(WithContext(NotLeader(""), failure.message()));
  }
  runner_.Lead(term, [this](const absl::Status& status) {
    absl::MutexLock lock(&mu_);
    loading_ = false;
    load_failure_ = status;
  });
}

void Leadership::NotHeld(const absl::Status& refusal) {
  until_ = -absl::InfiniteDuration();
  runner_.Extend(until_);
  runner_.StandBy(refusal);
}

}  // namespace seer::coordinator
