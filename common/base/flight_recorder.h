// What one rank does now and did last, in memory that its machine's agent reads at any moment: also
// while the rank is stopped, or stuck in a collective. Of plain words, without pointers, behind a
// magic number and a version; writing costs two reads of the clock and some stores, no lock and no
// call of the kernel.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/base/clock.h"

namespace seer {

enum class Doing : int64_t {
  kStarting,  // up to the session
  kJoining,   // the gang meets, the network is built
  kRestoring,
  kData,
  kCompute,
  kCollective,        // waits for one
  kSnapshot,          // copies the state
  kCheckpointBefore,  // waits for the one before
  kCommit,            // waits until the last checkpoint is committed
  kHost,              // anything else
};
// "start", "data", "compute", "collective", "checkpoint", "host": as seer.v1.RankActivity.
const char* DoingName(Doing doing);
const char* DoingWhere(Doing doing);  // "copies the state"; empty: the name says it all

enum class CollectiveKind : int64_t {
  kAllReduce,
  kAllGather,
  kReduceScatter,
  kBroadcast,
  kBarrier
};
const char* CollectiveName(CollectiveKind kind);  // "all-reduce"

// Means of a step, exponential.
struct StepSplit {
  double input_seconds = 0;  // kData
  double host_seconds = 0;   // all that is none of the others
  double compute_seconds = 0;
  double wait_seconds = 0;  // kCollective
};

// What a reader finds.
struct FlightView {
  // Collectives of one group, which all of its ranks enter in the same order.
  struct Group {
    std::string name;
    int first_rank = 0;  // of the gang's
    int ranks = 0;
    int64_t entered = 0, completed = 0;
    CollectiveKind newest = CollectiveKind::kAllReduce;
    int64_t bytes = 0;  // of the newest
  };
  enum class EventKind : int64_t { kBegan, kEntered, kCompleted };
  struct Event {
    absl::Duration at;  // steady time of the machine
    EventKind kind = EventKind::kBegan;
    Doing doing = Doing::kStarting;                          // of kBegan
    CollectiveKind collective = CollectiveKind::kAllReduce;  // of the others, as all below
    int group = 0;                                           // index
    int64_t number = 0;                                      // within the group, from 1
    int64_t bytes = 0;
  };

  int pid = 0;             // of the rank's process
  int64_t step = 0;        // that it works on, from 0
  int64_t steps_done = 0;  // by this process
  Doing doing = Doing::kStarting;
  absl::Duration since;  // steady time of the machine
  std::string detail;    // "all-reduce 812 of gradients", or DoingWhere
  StepSplit split;
  std::vector<Group> groups;
  std::vector<Event> events;  // the last, oldest first
};

struct FlightLayout;

// The reader's end, which makes the memory. It lives as long as somebody holds it. Thread-safe.
class FlightMemory {
 public:
  // UNAVAILABLE with STORAGE_FAILED: the kernel has none.
  static absl::StatusOr<std::unique_ptr<FlightMemory>> Create();
  ~FlightMemory();
  // Where other processes of this user open it while this process holds it.
  const std::string& path() const { return path_; }
  // Nothing: nobody has written yet, or in a form of another version.
  std::optional<FlightView> Read() const;

 private:
  FlightMemory(int fd, FlightLayout* layout);
  const int fd_;
  FlightLayout* const layout_;
  const std::string path_;
};

// Is told of collectives, by the recorder's thread.
class CollectiveObserver {
 public:
  virtual ~CollectiveObserver() = default;
  // `group`: as AddGroup was told; `bytes`: of this rank's part.
  virtual void Entered(const std::string& group, CollectiveKind kind, int64_t bytes) = 0;
  // `seconds` since it was entered. Not of those that the host does not wait for.
  virtual void Completed(const std::string& group, CollectiveKind kind, double seconds) = 0;
};

// The rank's end. One thread at a time.
class FlightRecorder {
 public:
  static constexpr int kEvents = 256;         // so many are kept
  static constexpr int kGroups = 16;          // further ones are not recorded
  static constexpr double kMeanWeight = 0.1;  // of the newest step

  // `path`: of a FlightMemory. NOT_FOUND or UNAVAILABLE with STORAGE_FAILED: it cannot be mapped.
  static absl::StatusOr<std::unique_ptr<FlightRecorder>> Open(const std::string& path,
                                                              Clock& clock = Clock::Real());
  ~FlightRecorder();

  // From here on; `observer` must outlive the recorder.
  void SetObserver(CollectiveObserver& observer) { observer_ = &observer; }

  // Returns what it did before.
  Doing Begin(Doing doing);
  void BeginStep(int64_t step);
  // A step is over: what was not done in a step before counts for it, `copy_seconds` of the compute
  // time as the host's. All collectives have completed.
  void StepDone(double copy_seconds);

  // Returns the group's handle.
  int AddGroup(const std::string& name, int first_rank, int ranks);
  int64_t Entered(int group, CollectiveKind kind, int64_t bytes);  // returns its number
  // Until Completed, or Begin, kCollective. Returns what it did before.
  Doing BeginWait(int group, int64_t number, CollectiveKind kind);
  void Completed(int group, int64_t number, CollectiveKind kind);

 private:
  class Writing;
  // What the observer is told by.
  struct Observed {
    std::string name;
    std::map<int64_t, absl::Duration> entered;  // by number; of this step, not completed
  };
  FlightRecorder(FlightLayout* layout, Clock& clock);
  int64_t SwitchTo(Doing doing);  // within a Writing; returns the time
  void AddEvent(int64_t now, FlightView::EventKind kind, int64_t what, int group, int64_t number,
                int64_t bytes);

  FlightLayout* const layout_;
  Clock& clock_;
  Doing doing_ = Doing::kStarting;
  int64_t since_ns_ = 0;
  std::array<int64_t, 4> spent_ns_{};  // since the last step: input, host, compute, wait
  CollectiveObserver* observer_ = nullptr;
  std::vector<Observed> observed_;  // by group
};

// While it lives the rank does `doing`. `recorder` may be null.
class DoingScope {
 public:
  DoingScope(FlightRecorder* recorder, Doing doing) : recorder_(recorder) {
    if (recorder_ != nullptr) before_ = recorder_->Begin(doing);
  }
  DoingScope(const DoingScope&) = delete;
  ~DoingScope() {
    if (recorder_ != nullptr) recorder_->Begin(before_);
  }

 private:
  FlightRecorder* const recorder_;
  Doing before_ = Doing::kStarting;
};

}  // namespace seer
