// Core's part about checkpoints: two-phase commit and deletion, and what is visible. keeping.cc
// decides which are kept.
#include <algorithm>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/error.h"
#include "coordinator/core/core.h"
#include "coordinator/core/data_plan.h"
#include "coordinator/core/job_states.h"

namespace seer::coordinator {
namespace {

// What a rank says about its file names an object below the checkpoint's folder, and nothing else.
absl::Status CheckReport(const command::ReportCheckpoint& c, const Job& job) {
  const auto refused = [&](const std::string& what, absl::string_view field) -> absl::Status {
    return Error(absl::StatusCode::kInvalidArgument, reason::kInvalidArgument,
                 absl::StrCat("checkpoint report of rank ", c.rank, ": ", what))
        .Field(field);
  };
  const int ranks = static_cast<int>(job.attempt->ranks.size());
  if (c.world_size != ranks) {
    return refused(absl::StrCat("world size ", c.world_size, ", the attempt has ", ranks),
                   "world_size");
  }
  if (c.rank < 0 || c.rank >= ranks) return refused("no such rank", "rank");
  if (c.step < 1) return refused(absl::StrCat("no step ", c.step), "step");
  const std::string& name = c.file.name;
  if (name.empty() || name.size() > 255 || name.front() == '.' ||
      name.find('/') != std::string::npos || name.find('\0') != std::string::npos) {
    return refused(absl::StrCat("'", name, "' is not a file's name"), "file_name");
  }
  if (c.file.size_bytes < 0) return refused("negative size", "size_bytes");
  if (c.file.sha256.size() != 64 ||
      c.file.sha256.find_first_not_of("0123456789abcdef") != std::string::npos) {
    return refused("the digest is not 64 hex digits", "sha256");
  }
  return absl::OkStatus();
}

}  // namespace

void Core::On(const command::ReportCheckpoint& c, Moment now, Decision& out) {
  const auto live = CheckLive(c.attempt_id, c.job);
  if (out.reply.status = live.status(); !live.ok()) return;
  Job& job = **live;
  out.reply.job = job.id;
  if (out.reply.status = CheckReport(c, job); !out.reply.status.ok()) return;
  const CheckpointKey key(job.id, c.step);
  const auto known = checkpoints_.find(key);
  if (known != checkpoints_.end() && !known->second.corrupt) {
    out.reply.yes = true;
    return;
  }
  if (known != checkpoints_.end() && known->second.deleting) {  // the deletion takes the new files
    out.reply.status = Error(absl::StatusCode::kAborted, reason::kStorageFailed,
                             absl::StrCat("checkpoint report of rank ", c.rank, ": step ", c.step,
                                          " is being deleted"))
                           .Hint("the next attempt writes it again");
    return;
  }
  NotePlan(c.plan, job, now, out);
  auto& files = reports_[{c.attempt_id, c.step}];
  files[c.rank] = c.file;
  if (files.size() < job.attempt->ranks.size()) return;

  Checkpoint checkpoint;
  checkpoint.job = job.id;
  checkpoint.step = c.step;
  checkpoint.attempt = job.attempt->number;
  checkpoint.created = now.wall;
  for (const auto& [rank, file] : files) checkpoint.files.push_back(file);
  checkpoint.generation = GenerationAt(job.plan, c.step - 1);
  checkpoint.recipe = job.numbers.recipe;
  if (job.attempt->restore_step > 0) {
    checkpoint.restored_job = job.attempt->restore_job.empty() ? job.id : job.attempt->restore_job;
    checkpoint.restored_step = job.attempt->restore_step;
  }
  if (known != checkpoints_.end()) checkpoint.pin = known->second.pin;  // of a damaged one
  checkpoints_[key] = std::move(checkpoint);
  // A rank has one checkpoint in flight: reports of earlier steps are of no use any more.
  reports_.erase(reports_.lower_bound({c.attempt_id, 0}),
                 reports_.lower_bound({c.attempt_id, c.step + 1}));
  job.attempt->progressed_at = now.steady;
  job.fruitless = 0;
  out.reply.yes = true;
  out.changes.checkpoints.insert(key);
  out.effects.mark_committed.push_back(key);
  Changed(job, out);
  AddEvent(job, job.attempt->number, "checkpoint_committed", "", absl::StrCat("step ", c.step), now,
           out);
  Retain(job.id, now, out);
}

int64_t Core::NewestCheckpoint(const std::string& job) const {
  int64_t newest = 0;
  for (auto it = checkpoints_.lower_bound({job, 0});
       it != checkpoints_.end() && it->first.first == job; ++it) {
    if (!it->second.deleting && !it->second.corrupt) newest = it->first.second;
  }
  return newest;
}

CheckpointKey Core::StartOf(const Job& job) const {
  const int64_t own = NewestCheckpoint(job.id);
  if (own > 0 || job.numbers.start_job.empty()) return {job.id, own};
  return {job.numbers.start_job, job.numbers.start_step};
}

std::string Core::StartText(const Job& job) const {
  const auto [from, step] = StartOf(job);
  if (step == 0) return "from the beginning";
  return absl::StrCat("from the checkpoint at step ", step,
                      from == job.id ? "" : absl::StrCat(" of ", from));
}

// The attempt could not read what it started from: the next one takes the sound checkpoint before
// it. If there is none, trying again is all that can be done short of losing every step.
void Core::LeaveCorruptCheckpoint(const Job& job, const Attempt& attempt, Moment now,
                                  Decision& out) {
  const bool unreadable =
      std::any_of(attempt.ranks.begin(), attempt.ranks.end(),
                  [](const Rank& rank) { return rank.reason == reason::kCheckpointCorrupt; });
  const auto it = checkpoints_.find({job.id, attempt.restore_step});
  // What another job wrote is that job's to judge.
  if (!unreadable || !attempt.restore_job.empty() || it == checkpoints_.end()) return;
  it->second.corrupt = true;
  const int64_t before = StartOf(job).second;
  if (before == 0 || before > attempt.restore_step) {
    it->second.corrupt = false;
    return;
  }
  out.changes.checkpoints.insert(it->first);
  AddEvent(job, attempt.number, "checkpoint_corrupt", std::string(reason::kCheckpointCorrupt),
           absl::StrCat("step ", attempt.restore_step, " is left for step ", before), now, out);
}

absl::StatusOr<const Checkpoint*> Core::FindCheckpoint(const std::string& name) const {
  const std::vector<std::string> parts = absl::StrSplit(name, '/');
  int64_t step = 0;
  if (parts.size() == 4 && parts[0] == "jobs" && parts[2] == "checkpoints" &&
      absl::SimpleAtoi(parts[3], &step)) {
    if (const auto job = Find(parts[1]); job.ok()) {
      const auto it = checkpoints_.find({(*job)->id, step});
      if (it != checkpoints_.end() && !it->second.deleting) return &it->second;
    }
  }
  return Error(absl::StatusCode::kNotFound, reason::kCheckpointNotFound,
               absl::StrCat("no checkpoint '", name, "'"))
      .Field("name")
      .Hint("write jobs/JOB/checkpoints/STEP; `seer checkpoint list` shows those that are kept")
      .With("checkpoint", name);
}

// Steps that are being deleted beyond `step`. An attempt that starts there would write them anew.
bool Core::DeletesBeyond(const std::string& job, int64_t step) const {
  for (auto it = checkpoints_.lower_bound({job, step + 1});
       it != checkpoints_.end() && it->first.first == job; ++it) {
    if (it->second.deleting) return true;
  }
  return false;
}

// In two phases: the record is marked and committed, and so invisible; then the files go, then the
// record. What a crash interrupts is taken up when the state is loaded.
void Core::Delete(Checkpoint& checkpoint, const std::string& why, Moment now, Decision& out) {
  const CheckpointKey key(checkpoint.job, checkpoint.step);
  checkpoint.deleting = true;
  out.changes.checkpoints.insert(key);
  out.effects.delete_files.push_back(key);
  AddEvent(jobs_.at(checkpoint.job), 0, "checkpoint_deleted", "",
           absl::StrCat("step ", checkpoint.step, ": ", why), now, out);
}

void Core::On(const command::CommittedMarked& c, Moment now, Decision& out) {
  const auto it = checkpoints_.find({c.job, c.step});
  if (it == checkpoints_.end() || it->second.marked) return;
  it->second.marked = true;
  out.changes.checkpoints.insert({c.job, c.step});
}

void Core::On(const command::FilesDeleted& c, Moment now, Decision& out) {
  const auto it = checkpoints_.find({c.job, c.step});
  if (it == checkpoints_.end() || !it->second.deleting) return;
  checkpoints_.erase(it);
  out.changes.removed_checkpoints.insert({c.job, c.step});
  schedule_ = true;  // its job may wait for that
}

void Core::ForgetReports(int64_t attempt_id) {
  reports_.erase(reports_.lower_bound({attempt_id, 0}), reports_.lower_bound({attempt_id + 1, 0}));
}

}  // namespace seer::coordinator
