// Which waiting gangs start, where, and why the others wait. Pure.
//
// Order. A gang is placed whole or not at all. Within a queue the higher priority goes first, then
// the smaller number. Among queues: those whose next gang stays within the quota come before those
// that borrow; then those whose next gang has reserved devices; then the smallest devices in use
// and reserved by weight.
//
// Backfill. The first kMaxReservations gangs that find no room reserve: running gangs are thought
// away, the next to end first (the longest running, where no end is known), until the gang fits,
// and what it would take is kept from all that come after it. Those pass by it on other devices
// alone, or on kept ones if they are known to end before it can start. Where earlier reservations
// leave a gang too little, it keeps all that they leave. A gang goes on reserving from pass to
// pass, and thinks away first what ran when it began to: it starts at the latest when all has ended
// that ran or had reserved then, unless workers are lost or a higher priority comes. A gang that
// waits for its queue's quota lets nothing of its queue pass.
//
// Preemption. A gang that finds no room takes devices of running gangs of its queue with a lower
// priority and, if it stays within its quota, of queues that hold more than theirs: those that lose
// the fewest device-seconds, and only as many as it needs.
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "coordinator/core/free_devices.h"
#include "coordinator/core/model.h"
#include "coordinator/core/wait.h"

namespace seer::coordinator {

inline constexpr size_t kMaxReservations = 8;

struct WaitingGang {
  std::string job;
  int queue = 0;  // index
  GangShape shape;
  int priority = 0;
  int64_t number = 0;  // the smaller one goes first
  Reserved reserved;
  absl::Duration ready_in;  // backs off; until then its devices are kept for it
  bool held = false;        // by something else than devices
  absl::Duration lasts = absl::InfiniteDuration();  // infinite: not known
  std::vector<int> avoided;  // indices of workers that it takes only if no others have room
};

struct RunningGang {
  std::string job;
  int queue = 0;  // index
  int priority = 0;
  int devices = 0;      // that count for the queue
  Placement placement;  // what becomes free when it ends
  int64_t attempt = 0;
  absl::Duration remaining = absl::InfiniteDuration();  // infinite: not known
  bool leaving = false;                                 // was told to end
  bool preemptible = false;                             // may be told to end
  double cost = 0;                                      // device-seconds that are lost with it
};

struct SchedulerInput {
  std::vector<Queue> queues;
  std::vector<WorkerClass> classes;
  std::vector<OfferedDevices> workers;  // with the devices that are free now
  std::vector<int> capacity;            // by worker: all its devices
  std::vector<WaitingGang> waiting;
  std::vector<RunningGang> running;
};

struct GangStart {
  size_t gang = 0;  // index of waiting
  Placement placement;
};
struct Preemption {
  size_t victim = 0;  // index of running
  size_t gang = 0;    // index of waiting, that it makes room for
};
struct Schedule {
  std::vector<GangStart> starts;
  std::vector<Wait> waits;       // by index of waiting; of one that starts: kNone
  std::vector<size_t> reserved;  // indices of waiting, in order
  std::vector<Preemption> preemptions;
};

Schedule MakeSchedule(const SchedulerInput& input);

// When the gang with index `gang` of waiting would start if all that run end as is known of them,
// from now; unknown if that is not enough. Costs at most 100 passes, fewer for large inputs.
std::optional<absl::Duration> EstimateStart(SchedulerInput input, size_t gang);

// Devices that the queue may hold at most.
int64_t LimitOf(const Queue& queue);

// Where rank 0 of the attempt serves the gang's store: 20000 to 29999 in turn, so that a port that
// is taken, or still held by a gang that is dying, is not tried again.
int StorePort(int64_t attempt_id);

}  // namespace seer::coordinator
