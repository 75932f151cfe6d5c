// Core's part about profiles: asked for by clients, recorded by the ranks of one attempt, kept in
// memory for a while.
#include <algorithm>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/error.h"
#include "coordinator/core/core.h"
#include "coordinator/core/job_states.h"

namespace seer::coordinator {
namespace {

constexpr int kMaxSteps = 50;
constexpr absl::Duration kKept = absl::Minutes(10);  // after its end
constexpr size_t kMaxTraceBytes = 8 << 20;           // of one rank
constexpr size_t kMaxBytes = 512 << 20;              // of all profiles

bool HasEnded(const Profile& profile) {
  return profile.state == ProfileState::kDone || profile.state == ProfileState::kFailed;
}

size_t BytesOf(const Profile& profile) {
  size_t bytes = 0;
  for (const auto& [rank, trace] : profile.traces) bytes += trace->size();
  return bytes;
}

}  // namespace

absl::StatusOr<const Profile*> Core::FindProfile(const std::string& name) const {
  const std::vector<std::string> parts = absl::StrSplit(name, '/');
  int64_t number = 0;
  if (parts.size() == 4 && parts[0] == "jobs" && parts[2] == "profiles" &&
      absl::SimpleAtoi(parts[3], &number)) {
    const auto it = profiles_.find(parts[1]);
    if (it != profiles_.end() && it->second.number == number) return &it->second;
  }
  return Error(absl::StatusCode::kNotFound, reason::kProfileNotFound,
               absl::StrCat("no profile '", name, "'"))
      .Field("name")
      .Hint(
          "profiles are kept for ten minutes, and not over a restart of the coordinator: "
          "`seer job profile` records another")
      .With("profile", name);
}

absl::Status Core::CheckProfile(const command::CreateProfile& c, const Job& job) const {
  if (c.steps < 1 || c.steps > kMaxSteps) {
    return Error(absl::StatusCode::kInvalidArgument, reason::kOutOfRange,
                 absl::StrCat("a profile of ", c.steps, " steps"))
        .Field("steps")
        .Hint(absl::StrCat("from 1 to ", kMaxSteps));
  }
  if (job.numbers.evaluation) {
    return Error(absl::StatusCode::kInvalidArgument, reason::kInvalidArgument,
                 absl::StrCat("job ", job.id, " is an evaluation: it has no steps to profile"))
        .Field("job")
        .Hint("name a job that trains");
  }
  if (job.state != JobState::kRunning || job.cancelling) return WrongState(job, "profiled");
  const auto it = profiles_.find(job.id);
  if (it == profiles_.end() || HasEnded(it->second)) return absl::OkStatus();
  return Error(absl::StatusCode::kFailedPrecondition, reason::kProfileRunning,
               absl::StrCat("a profile of job ", job.id, " over ", it->second.steps,
                            it->second.steps == 1 ? " step" : " steps", " has not ended"))
      .Hint("try again when its steps are done")
      .With("job", job.id);
}

void Core::On(const command::CreateProfile& c, Moment now, Decision& out) {
  const auto found = Find(c.job);
  if (out.reply.status = found.status(); !found.ok()) return;
  const Job& job = **found;
  out.reply.job = job.id;
  const auto known = profiles_.find(job.id);
  if (known != profiles_.end() && !c.request_id.empty() &&
      known->second.request_id == c.request_id) {
    out.reply.profile = known->second.number;
    return;
  }
  if (out.reply.status = CheckProfile(c, job); !out.reply.status.ok()) return;
  Profile profile;
  profile.job = job.id;
  // Above those of an earlier life of the coordinator, whose trainers may still report them.
  profile.number = last_profile_ = std::max(last_profile_ + 1, absl::ToUnixSeconds(now.wall));
  profile.request_id = c.request_id;
  profile.attempt_id = job.attempt->id;
  profile.attempt = job.attempt->number;
  profile.steps = c.steps;
  for (const Rank& rank : job.attempt->ranks) profile.workers.push_back(rank.worker);
  profile.created = now.wall;
  out.reply.profile = profile.number;
  profiles_[job.id] = std::move(profile);
}

void Core::NoteProfile(const command::ReportProgress& c, const Job& job, Decision& out) {
  const auto it = profiles_.find(job.id);
  if (it == profiles_.end() || it->second.attempt_id != c.attempt_id) return;
  Profile& profile = it->second;
  if (profile.state != ProfileState::kRequested) return;
  if (profile.number == c.profile) {
    profile.state = ProfileState::kRecording;
    profile.first_step = c.profile_first_step;
  } else if (job.state == JobState::kRunning) {
    out.reply.profile = profile.number;
    out.reply.profile_steps = profile.steps;
  }
}

void Core::On(const command::ReportProfile& c, Moment now, Decision& out) {
  const auto live = CheckLive(c.attempt_id, c.job);
  if (out.reply.status = live.status(); !live.ok()) return;
  const Job& job = **live;
  out.reply.job = job.id;
  const auto refused = [&](const std::string& what, absl::string_view field) -> absl::Status {
    return Error(absl::StatusCode::kInvalidArgument, reason::kInvalidArgument,
                 absl::StrCat("profile report of rank ", c.rank, ": ", what))
        .Field(field);
  };
  if (c.rank < 0 || static_cast<size_t>(c.rank) >= job.attempt->ranks.size()) {
    out.reply.status = refused("no such rank", "rank");
    return;
  }
  if (c.trace == nullptr || c.trace->size() > kMaxTraceBytes) {
    out.reply.status = refused(absl::StrCat("more than ", kMaxTraceBytes, " bytes"), "trace");
    return;
  }
  const auto it = profiles_.find(job.id);
  if (it == profiles_.end() || it->second.number != c.profile || HasEnded(it->second)) {
    // OK for one that has ended: a repetition.
    out.reply.status = FindProfile(absl::StrCat("jobs/", job.id, "/profiles/", c.profile)).status();
    return;
  }
  Profile& profile = it->second;
  if (!MakeRoom(job.id, c.trace->size())) {
    EndProfile(profile, ProfileState::kFailed, std::string(reason::kProfileTooLarge),
               absl::StrCat("the coordinator keeps at most ", kMaxBytes >> 20,
                            " MiB of profiles; record fewer steps"),
               now, out);
    return;
  }
  profile.state = ProfileState::kRecording;
  profile.first_step = c.first_step;
  profile.traces[c.rank] = c.trace;
  out.effects.watched.push_back(job.id);
  if (profile.traces.size() == job.attempt->ranks.size())
    EndProfile(profile, ProfileState::kDone, "", "", now, out);
}

void Core::InterruptProfile(const Job& job, const Attempt& attempt, Moment now, Decision& out) {
  const auto it = profiles_.find(job.id);
  if (it == profiles_.end() || it->second.attempt_id != attempt.id || HasEnded(it->second)) return;
  EndProfile(it->second, ProfileState::kFailed, std::string(reason::kProfileInterrupted),
             absl::StrCat("attempt ", attempt.number, " of job ", job.id,
                          " ended before its ranks had recorded ", it->second.steps,
                          it->second.steps == 1 ? " step" : " steps"),
             now, out);
}

void Core::EndProfile(Profile& profile, ProfileState state, const std::string& reason,
                      const std::string& message, Moment now, Decision& out) {
  profile.state = state;
  profile.reason = reason;
  profile.message = message;
  profile.ended_at = now.steady;
  if (state == ProfileState::kFailed) profile.traces.clear();
  out.effects.watched.push_back(profile.job);
}

void Core::ForgetProfiles(Moment now) {
  std::erase_if(profiles_, [&](const auto& item) {
    return HasEnded(item.second) && now.steady - item.second.ended_at >= kKept;
  });
}

// Forgets ended profiles of other jobs, the one that ended first before the others, until `bytes`
// more fit. False: they do not.
bool Core::MakeRoom(const std::string& job, size_t bytes) {
  size_t held = bytes;
  for (const auto& [id, profile] : profiles_) held += BytesOf(profile);
  while (held > kMaxBytes) {
    auto oldest = profiles_.end();
    for (auto it = profiles_.begin(); it != profiles_.end(); ++it) {
      if (it->first == job || !HasEnded(it->second)) continue;
      if (oldest == profiles_.end() || it->second.ended_at < oldest->second.ended_at) oldest = it;
    }
    if (oldest == profiles_.end()) return false;
    held -= BytesOf(oldest->second);
    profiles_.erase(oldest);
  }
  return true;
}

}  // namespace seer::coordinator
