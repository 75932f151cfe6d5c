// Core's part about which checkpoints are kept: pins, needs, retention, and storage that is low.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "coordinator/core/core.h"
#include "coordinator/core/job_states.h"

namespace seer::coordinator {
namespace {

constexpr size_t kMaxUserBytes = 200;
constexpr size_t kMaxReasonBytes = 1000;
// Storage is no longer low with so many times the watermark free: it does not come and go.
constexpr double kEnoughAgain = 1.2;

absl::Status CheckText(absl::string_view field, const std::string& text, size_t least,
                       size_t most) {
  if (text.size() >= least && text.size() <= most) return absl::OkStatus();
  return Error(absl::StatusCode::kInvalidArgument, reason::kOutOfRange,
               absl::StrCat(field, " has ", text.size(), " bytes, must have ", least, " to ", most))
      .Field(field)
      .Hint(text.size() > most ? "write less" : "say who pins it");
}

absl::Status CheckAtLeast(absl::string_view field, int64_t value, int64_t least) {
  if (value >= least) return absl::OkStatus();
  return Error(absl::StatusCode::kInvalidArgument, reason::kOutOfRange,
               absl::StrCat(field, " is ", value, ", must be at least ", least))
      .Field(field)
      .Hint(absl::StrCat("give at least ", least, ", or leave it to the job's spec"));
}

}  // namespace

std::map<CheckpointKey, RetentionDecision> Core::Retention(
    const std::set<std::string>& jobs, const std::optional<RetentionPolicy>& policy) const {
  std::map<CheckpointKey, std::string> needs;
  std::map<CheckpointKey, double> best;
  for (const auto& [id, job] : jobs_) {
    const JobNumbers& n = job.numbers;
    if (jobs.contains(n.eval_job)) {
      const CheckpointKey key(n.eval_job,
                              n.eval_step > 0 ? n.eval_step : NewestCheckpoint(n.eval_job));
      if (!Ended(job.state)) needs[key] = absl::StrCat("evaluation ", id, " reads it");
      if (job.eval && job.state == JobState::kSucceeded) {
        for (const KnnResult& knn : job.eval->knn) best[key] = std::max(best[key], knn.top1_ratio);
      }
    }
    if (jobs.contains(n.start_job) && !Ended(job.state))
      needs[{n.start_job, n.start_step}] = absl::StrCat("job ", id, " starts from it");
  }
  std::map<CheckpointKey, RetentionDecision> out;
  for (const std::string& id : jobs) {
    std::vector<RetentionCandidate> candidates;
    for (auto it = checkpoints_.lower_bound({id, 0});
         it != checkpoints_.end() && it->first.first == id; ++it) {
      if (it->second.deleting) continue;
      RetentionCandidate& candidate = candidates.emplace_back();
      candidate.step = it->first.second;
      candidate.corrupt = it->second.corrupt;
      candidate.pin = it->second.pin;
      if (const auto need = needs.find(it->first); need != needs.end())
        candidate.need = need->second;
      if (const auto top1 = best.find(it->first); top1 != best.end())
        candidate.top1_ratio = top1->second;
    }
    const std::vector<RetentionDecision> decisions =
        DecideRetention(candidates, policy ? *policy : KeepingOf(jobs_.at(id)));
    for (size_t i = 0; i < decisions.size(); ++i)
      out[CheckpointKey(id, candidates[i].step)] = decisions[i];
  }
  return out;
}

RetentionPolicy Core::KeepingOf(const Job& job) const {
  RetentionPolicy policy = job.numbers.keep;
  if (storage_low_ && job.numbers.keep_last_when_full > 0)
    policy.last = std::min(policy.last, job.numbers.keep_last_when_full);
  return policy;
}

void Core::Retain(const std::string& id, Moment now, Decision& out) {
  if (!jobs_.contains(id)) return;
  for (const auto& [key, decision] : Retention({id})) {
    if (!decision.keep) Delete(checkpoints_.at(key), decision.reason, now, out);
  }
}

absl::StatusOr<std::map<CheckpointKey, RetentionDecision>> Core::PlanPrune(
    const command::PruneCheckpoints& c) const {
  SEER_ASSIGN_OR_RETURN(const Job* job, Find(c.job));
  RetentionPolicy policy = KeepingOf(*job);
  policy.last = c.keep_last.value_or(policy.last);
  policy.every = c.keep_every.value_or(policy.every);
  policy.best = c.keep_best.value_or(policy.best);
  SEER_RETURN_IF_ERROR(CheckAtLeast("keep_last", policy.last, 1));
  SEER_RETURN_IF_ERROR(CheckAtLeast("keep_every", policy.every, 0));
  SEER_RETURN_IF_ERROR(CheckAtLeast("keep_best", policy.best, 0));
  return Retention({job->id}, policy);
}

void Core::On(const command::PruneCheckpoints& c, Moment now, Decision& out) {
  auto plan = PlanPrune(c);
  if (out.reply.status = plan.status(); !plan.ok()) return;
  for (const auto& [key, decision] : *plan) {
    if (!decision.keep)
      Delete(checkpoints_.at(key), absl::StrCat("pruned by request; ", decision.reason), now, out);
  }
  out.reply.retention = *std::move(plan);
}

void Core::On(const command::PinCheckpoint& c, Moment now, Decision& out) {
  const auto found = FindCheckpoint(c.name);
  if (out.reply.status = found.status(); !found.ok()) return;
  if (out.reply.status = CheckText("user", c.user, 1, kMaxUserBytes); !out.reply.status.ok())
    return;
  if (out.reply.status = CheckText("reason", c.reason, 0, kMaxReasonBytes); !out.reply.status.ok())
    return;
  const CheckpointKey key((*found)->job, (*found)->step);
  checkpoints_.at(key).pin = Pin{c.user, c.reason, now.wall};
  out.changes.checkpoints.insert(key);
  AddEvent(jobs_.at(key.first), 0, "checkpoint_pinned", "",
           absl::StrCat("step ", key.second, " by ", c.user,
                        c.reason.empty() ? "" : absl::StrCat(": ", c.reason)),
           now, out);
}

void Core::On(const command::UnpinCheckpoint& c, Moment now, Decision& out) {
  const auto found = FindCheckpoint(c.name);
  if (out.reply.status = found.status(); !found.ok()) return;
  if (!(*found)->pin) return;
  const CheckpointKey key((*found)->job, (*found)->step);
  checkpoints_.at(key).pin.reset();
  out.changes.checkpoints.insert(key);
  AddEvent(jobs_.at(key.first), 0, "checkpoint_unpinned", "", absl::StrCat("step ", key.second),
           now, out);
  Retain(key.first, now, out);
}

absl::Status Core::CheckGoBack(const Job& job, int64_t step) const {
  if (step > 0) {
    SEER_ASSIGN_OR_RETURN(const Checkpoint* start,
                          FindCheckpoint(absl::StrCat("jobs/", job.id, "/checkpoints/", step)));
    if (start->corrupt) {
      return Error(absl::StatusCode::kDataLoss, reason::kCheckpointCorrupt,
                   absl::StrCat("checkpoint ", step, " of ", job.id, " is damaged"))
          .Field("step")
          .Hint(absl::StrCat("choose another; `seer checkpoint list ", job.id, "` shows them"));
    }
  }
  for (const auto& [key, decision] : Retention({job.id})) {
    if (key.second <= step || !decision.wanted) continue;
    return Error(absl::StatusCode::kFailedPrecondition, reason::kCheckpointInUse,
                 absl::StrCat("the job would write step ", key.second,
                              " anew, whose checkpoint is kept: ", decision.reason))
        .Field("step")
        .Hint(absl::StrCat("start a new job from it instead: `seer submit --from ", job.id, "/",
                           step, "`; or unpin that checkpoint, or wait for who needs it"))
        .With("checkpoint", absl::StrCat("jobs/", job.id, "/checkpoints/", key.second));
  }
  return absl::OkStatus();
}

absl::Status Core::GoBack(const Job& job, int64_t step, Moment now, Decision& out) {
  SEER_RETURN_IF_ERROR(CheckGoBack(job, step));
  std::vector<Checkpoint*> beyond;
  for (auto it = checkpoints_.upper_bound({job.id, step});
       it != checkpoints_.end() && it->first.first == job.id; ++it) {
    if (!it->second.deleting) beyond.push_back(&it->second);
  }
  for (Checkpoint* checkpoint : beyond)
    Delete(*checkpoint, absl::StrCat("the job goes on from step ", step), now, out);
  return absl::OkStatus();
}

std::string Core::StorageWarning() const {
  if (!storage_low_) return "";
  return absl::StrFormat(
      "storage of checkpoints has %.1f%% free, the watermark is %.1f%%: make room, or lower "
      "checkpoint.keepLast",
      *storage_free_ratio_ * 100, options_.storage_low_watermark * 100);
}

void Core::On(const command::StorageSpace& c, Moment now, Decision& out) {
  if (c.total_bytes <= 0) return;
  storage_free_ratio_ = static_cast<double>(c.free_bytes) / static_cast<double>(c.total_bytes);
  const double watermark = options_.storage_low_watermark;
  const bool was_low = storage_low_;
  storage_low_ = *storage_free_ratio_ < (was_low ? kEnoughAgain * watermark : watermark);
  if (storage_low_ == was_low) return;
  std::set<std::string> all;
  for (const auto& [id, job] : jobs_) {
    all.insert(id);
    if (Ended(job.state)) continue;
    out.effects.watched.push_back(id);
    if (storage_low_)
      AddEvent(job, 0, "storage_low", std::string(reason::kDiskFull), StorageWarning(), now, out);
  }
  if (!storage_low_) return;
  for (const auto& [key, decision] : Retention(all)) {
    if (!decision.keep)
      Delete(checkpoints_.at(key), absl::StrCat("storage is low; ", decision.reason), now, out);
  }
}

}  // namespace seer::coordinator
