// What becomes of the assignments that this agent was given: from the coordinator's word to the
// report of the rank's end that the coordinator is known to have. Pure: no I/O, threads or clock.
// Not thread-safe; the agent's loop owns it.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace seer::worker {

struct Assignment {
  int64_t attempt_id = 0;  // unique over all jobs, grows: the fencing token
  std::string job;         // "jobs/{job}"
  int attempt = 0;         // number within the job
  int rank = 0;
};

struct RankExit {
  int exit_code = 0;                         // common/base/trainer_exit.h, 128 + signal, or 127
  std::string reason;                        // the trainer's last word; empty: none
  std::string message;                       // for people
  std::vector<std::string> last_lines = {};  // of its output, oldest first
  bool oom_killed = false;                   // the kernel ended it for want of memory
  std::string device_fault = {};             // what the kernel said of its device; empty: nothing
  bool prompted = false;                     // it was sent a signal before
};

class AssignmentTable {
 public:
  // Of how many jobs the newest attempt is remembered; the oldest attempts go first.
  static constexpr size_t kMaxRememberedJobs = 10000;

  struct Entry {
    Assignment assignment;
    // The machine's, from 0; of two that run never the same; unset: it waits for one.
    std::optional<int> device;
    std::optional<RankExit> exit;  // unset: it runs, or waits
    // Of the exit's report on this stream; unset: not sent on this stream.
    struct Sent {
      int64_t number = 0;  // among such reports, from 1
      int64_t beats = 0;   // heartbeats sent before it
    };
    std::optional<Sent> sent;
  };
  enum class Verdict {
    kStart,  // new: start the rank
    kWait,   // new, but ranks that were told to end still have all devices: GiveDevice says when
    kKnown,  // said twice: nothing to do
    kStale,  // an attempt older than the newest that was seen of the job: refuse
  };
  struct Taken {
    Verdict verdict = Verdict::kStart;
    int64_t key = 0;  // for kStart and kWait: never used before; its entry has the device
  };

  explicit AssignmentTable(int devices) : devices_(devices) {}

  Taken Take(const Assignment& assignment);
  // To the one that waits longest, if one is free: its key, to be started.
  std::optional<int64_t> GiveDevice();
  void Exited(int64_t key, RankExit exit);  // of an unknown key, or a second time: nothing happens

  // The stream to the coordinator. Reports that were sent on a stream which broke may be lost.
  void StreamOpened();
  void StreamClosed();
  void HeartbeatSent() { ++sent_beats_; }
  // Acknowledgements come in order. Exits are forgotten that the coordinator has on disk, the first
  // `exits_known` that were sent; of one that does not say, those sent before the heartbeat. True:
  // something was.
  bool HeartbeatAcknowledged(std::optional<int64_t> exits_known);
  std::vector<int64_t> UnsentExits() const;
  void ExitSent(int64_t key);

  const Entry* Find(int64_t key) const;  // null: unknown; valid until the next change
  // Also those that have ended, until the coordinator knows.
  const std::map<int64_t, Entry>& entries() const { return entries_; }
  std::vector<int64_t> Running() const;
  std::vector<int64_t> RunningOf(int64_t attempt_id) const;

 private:
  void Remember(const std::string& job, int64_t attempt_id);
  std::optional<int> FreeDevice() const;

  const int devices_;
  int64_t last_key_ = 0;
  int64_t sent_beats_ = 0, acked_beats_ = 0, sent_exits_ = 0;  // of the present stream
  std::map<int64_t, Entry> entries_;
  std::map<std::string, int64_t> newest_attempt_;  // by job
};

}  // namespace seer::worker
