// Core's part about sweeps: what clients ask for, which trials are due, and when a sweep ends.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/base/error.h"
#include "common/base/philox.h"
#include "common/base/status_macros.h"
#include "coordinator/core/core.h"
#include "coordinator/core/find_named.h"
#include "coordinator/core/job_states.h"

namespace seer::coordinator {

absl::StatusOr<const Sweep*> Core::FindSweep(const std::string& name) const {
  return FindNamed(sweeps_, name, "sweep", reason::kSweepNotFound,
                   "`seer sweep list` shows the sweeps, `seer sweep create` makes one");
}

double Core::DeviceSecondsOf(const Job& job, absl::Time now) const {
  if (!job.attempt) return job.device_seconds;
  const absl::Duration since = std::max(now - job.attempt->started, absl::ZeroDuration());
  return job.device_seconds +
         absl::ToDoubleSeconds(since) * static_cast<double>(DevicesHeld(*job.attempt));
}

SweepUse Core::UseOf(const Sweep& sweep, absl::Time now) const {
  SweepUse use;
  for (const SweepTrialRecord& trial : sweep.made) {
    const auto job = jobs_.find(trial.job);
    if (job == jobs_.end()) continue;  // it was refused, or ended long ago
    use.device_seconds += DeviceSecondsOf(job->second, now);
    use.live += !Ended(job->second.state);
  }
  return use;
}

std::vector<DueTrial> Core::DueTrials(absl::Time now) const {
  std::vector<DueTrial> due;
  for (const auto& [name, sweep] : sweeps_) {
    if (sweep.state != SweepState::kRunning) continue;
    const int made = static_cast<int>(sweep.made.size());
    const int room = std::min(sweep.parallel - UseOf(sweep, now).live, sweep.trials - made);
    for (int i = 1; i <= room; ++i) due.push_back({name, sweep.id, sweep.definition, made + i});
  }
  return due;
}

absl::Status Core::CheckSweepName(const std::string& name) const {
  const auto it = sweeps_.find(name);
  if (it == sweeps_.end() || it->second.state != SweepState::kRunning) return absl::OkStatus();
  return Error(absl::StatusCode::kAlreadyExists, reason::kSweepExists,
               absl::StrCat("the sweep '", name, "' has not ended"))
      .Field("sweep.name")
      .Hint(absl::StrCat("`seer sweep cancel ", name, "` ends it; or take another name"))
      .With("sweep", name);
}

void Core::On(const command::CreateSweep& c, Moment now, Decision& out) {
  if (!SweepCreatedBy(c.request_id).empty()) return;
  if (out.reply.status = CheckSweepName(c.sweep.name); !out.reply.status.ok()) return;
  Sweep sweep = c.sweep;
  sweep.id = absl::StrFormat("%s-%08x", sweep.name, static_cast<uint32_t>(c.id_seed));
  sweep.state = SweepState::kRunning;
  sweep.created = now.wall;
  if (!c.request_id.empty())
    NoteRequest(absl::StrCat("sweep/", c.request_id), sweep.name, now, out);
  out.changes.sweeps.insert(sweep.name);
  sweeps_[sweep.name] = std::move(sweep);
}

void Core::On(const command::CancelSweep& c, Moment now, Decision& out) {
  const auto found = FindSweep(c.name);
  if (out.reply.status = found.status(); !found.ok()) return;
  Sweep& sweep = sweeps_.at((*found)->name);
  if (sweep.state != SweepState::kRunning) return;
  EndSweep(sweep, SweepState::kCancelled, "cancelled by request", now, out);
}

absl::Status Core::CheckTrial(const command::CreateJob& c) const {
  if (c.job.sweep.empty()) return absl::OkStatus();
  const auto it = sweeps_.find(c.job.sweep);
  if (it != sweeps_.end() && it->second.state == SweepState::kRunning &&
      static_cast<int>(it->second.made.size()) + 1 == c.trial)
    return absl::OkStatus();
  return Error(absl::StatusCode::kFailedPrecondition, reason::kSweepCancelled,
               absl::StrCat("the sweep '", c.job.sweep, "' makes no trial ", c.trial))
      .With("sweep", c.job.sweep);
}

void Core::NoteTrial(const command::CreateJob& c, const std::string& job, Decision& out) {
  if (c.job.sweep.empty()) return;
  sweeps_.at(c.job.sweep).made.push_back({job, ""});
  out.changes.sweeps.insert(c.job.sweep);
}

void Core::On(const command::TrialRefused& c, Moment, Decision& out) {
  const auto it = sweeps_.find(c.sweep);
  if (it == sweeps_.end() || it->second.id != c.id || it->second.state != SweepState::kRunning ||
      static_cast<int>(it->second.made.size()) + 1 != c.trial)
    return;
  it->second.made.push_back({"", c.message});
  out.changes.sweeps.insert(c.sweep);
}

void Core::SettleSweeps(Moment now, Decision& out) {
  for (auto& [name, sweep] : sweeps_) {
    if (sweep.state != SweepState::kRunning) continue;
    const SweepUse use = UseOf(sweep, now.wall);
    if (static_cast<int>(sweep.made.size()) == sweep.trials && use.live == 0) {
      EndSweep(sweep, SweepState::kDone, "", now, out);
    } else if (sweep.budget_device_seconds > 0 &&
               use.device_seconds >= sweep.budget_device_seconds) {
      EndSweep(sweep, SweepState::kExhausted,
               absl::StrFormat("%.0f of %.0f device-seconds are used up after %d of %d trials",
                               use.device_seconds, sweep.budget_device_seconds, sweep.made.size(),
                               sweep.trials),
               now, out);
    }
  }
}

void Core::EndSweep(Sweep& sweep, SweepState state, const std::string& message, Moment now,
                    Decision& out) {
  sweep.state = state;
  sweep.message = message;
  sweep.ended = now.wall;
  out.changes.sweeps.insert(sweep.name);
  const bool exhausted = state == SweepState::kExhausted;
  for (const SweepTrialRecord& trial : sweep.made) {
    const auto job = jobs_.find(trial.job);
    if (job == jobs_.end() || Ended(job->second.state)) continue;
    CancelJob(job->second,
              std::string(exhausted ? reason::kBudgetExhausted : reason::kSweepCancelled),
              absl::StrCat("the sweep '", sweep.name, "' ",
                           exhausted ? "has used up its budget" : "was cancelled"),
              now, out);
  }
}

}  // namespace seer::coordinator
