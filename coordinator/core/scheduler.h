// Which waiting gangs start, where, and why the others wait. Pure.
//
// Order. A gang is placed whole or not at all. Within a queue the higher priority goes first, then
// the smaller number. Among queues: those whose next gang stays within the quota come before those
// that borrow; then those with a gang that has reserved devices; then the smallest devices in use
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
//
// Elastic gangs and spares. A gang that may have fewer ranks starts with as many as find room now;
// it borrows, reserves and preempts for the fewest. If it has all its ranks, it takes spare
// devices, as many as are left, without borrowing for them. A gang that runs with less than it
// wants is in its queue with what it lacks, at its place; after all that wait, if it would borrow
// or has passed one that reserves. That is kept from those behind it, but nothing is reserved for
// it and nobody is preempted.
//
// Kept devices. What a gang keeps from its attempt before is nobody else's: with enough of it the
// gang starts at once, whoever is ahead, and for the rest it waits its turn. But one that passed
// another which could use it and still reserves keeps nothing.
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
  int queue = 0;             // index
  GangShape shape;           // with all ranks
  std::vector<int> smaller;  // numbers of ranks that do as well, the largest first
  int spares = 0;            // devices besides
  Placement kept;            // from its attempt before; not among the free ones
  int64_t kept_since = 0;    // id of the attempt that took them
  int had = 0;               // ranks then; it starts with fewer only after shrinks_in
  absl::Duration shrinks_in;
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
  int devices = 0;                                      // that count for the queue
  Placement placement;                                  // what becomes free when it ends
  int64_t attempt = 0;                                  // id of the one that began to hold devices
  absl::Duration remaining = absl::InfiniteDuration();  // infinite: not known
  bool leaving = false;                                 // was told to end
  bool preemptible = false;                             // may be told to end
  double cost = 0;                                      // device-seconds that are lost with it
};

// What a running gang lacks: ranks, of which it names the numbers that are more than it has, or, if
// it has all, spares. Its ranks' devices are `kept`.
struct GrowthWish {
  size_t gang = 0;  // index of running
  WaitingGang wish;
};

struct SchedulerInput {
  std::vector<Queue> queues;
  std::vector<WorkerClass> classes;
  std::vector<OfferedDevices> workers;  // with the devices that are free now
  std::vector<int> capacity;            // by worker: all its devices
  std::vector<WaitingGang> waiting;
  std::vector<RunningGang> running;
  std::vector<GrowthWish> wishes;
};

struct GangStart {
  size_t gang = 0;  // index of waiting
  Placement placement;
  Placement spares;
};
// Devices that a running gang lacks and that are there for it.
struct GangGrowth {
  size_t gang = 0;     // index of running
  int ranks = 0;       // that it can have with them; as it has: they are spares
  Placement more;      // besides those that it holds
  bool ready = false;  // its wish backs off no more
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
  std::vector<GangGrowth> growths;
  std::vector<size_t> forfeits;  // indices of waiting: they keep nothing any more
};

int DevicesOf(const Placement& placement);

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
