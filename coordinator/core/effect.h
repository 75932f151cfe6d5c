// What a decision leaves behind: changes, which the store commits together, and a reply and
// effects, which leave after the commit.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "coordinator/core/history.h"
#include "coordinator/core/model.h"
#include "coordinator/core/retention.h"

namespace seer::coordinator {

using CheckpointKey = std::pair<std::string, int64_t>;  // job id, step

// Names of records that changed; their new values stand in the core.
struct Changes {
  std::set<std::string> jobs;
  std::set<std::string> removed_jobs;  // with their events
  std::set<CheckpointKey> checkpoints;
  std::set<CheckpointKey> removed_checkpoints;
  std::set<std::string> workers;
  std::set<std::string> removed_workers;
  std::set<std::string> queues;
  std::set<std::string> removed_queues;
  std::set<std::string> schedules;
  std::set<std::string> removed_schedules;
  std::set<std::string> sweeps;
  std::set<std::string> removed_sweeps;
  std::vector<Event> events;
  int64_t first_event = 0;  // those with smaller numbers go; 0: none
  std::vector<Request> requests;
  std::vector<std::string> removed_requests;

  bool empty() const;
  // Takes over what `later` changed on top of this.
  void Merge(Changes later);
};

struct AssignRank {
  std::string worker;
  std::string job;
  int64_t attempt_id = 0;
  int rank = 0;
};
// All ranks of the attempt on that worker.
struct StopRanks {
  std::string worker;
  int64_t attempt_id = 0;
  bool kill = false;
  absl::Duration grace = absl::Minutes(10);  // to write a checkpoint; then they are killed
};

// The worker's agent is to say what the attempt's ranks do.
struct InspectRanks {
  std::string worker;
  int64_t attempt_id = 0;
};

struct Effects {
  std::vector<AssignRank> assign;
  std::vector<StopRanks> stop;
  std::vector<InspectRanks> inspect;
  std::vector<CheckpointKey> mark_committed;  // write the file COMMITTED, then say CommittedMarked
  std::vector<CheckpointKey> delete_files;    // then say FilesDeleted
  // Jobs whose logs and curves go; then say HistoryDeleted.
  std::vector<std::string> delete_history;
  // Jobs whose profile, or why they wait, changed: tell who watches.
  std::vector<std::string> watched;
};

// What the one who sent the command is told.
struct Reply {
  absl::Status status;
  std::string job;      // id of the job that was made or changed
  bool yes = false;     // progress: checkpoint and pause; checkpoint: it is committed
  int64_t profile = 0;  // number of the profile that was made, or, after progress, is wanted
  int profile_steps = 0;
  std::map<CheckpointKey, RetentionDecision> retention;  // what PruneCheckpoints decided
  int64_t newest_generation = 0;  // after progress: that the job should go on with; 0: as it does
};

struct Decision {
  Reply reply;
  Changes changes;
  Effects effects;
  bool scheduled = false;          // the queues were gone through
  double lost_device_seconds = 0;  // of gangs that were preempted
  TimeShares counted{};            // of all jobs' time
};

}  // namespace seer::coordinator
