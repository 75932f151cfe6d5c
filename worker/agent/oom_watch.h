// Which ranks the kernel killed for want of memory: a SIGKILL of its own looks like anybody's, but
// the counter `oom_kill` of the agent's memory cgroup, in which its ranks run, goes up by one
// (Documentation/admin-guide/cgroup-v2.rst: memory.events). Where there is no such cgroup, that of
// the whole machine in /proc/vmstat is taken. Not thread-safe.
#pragma once

#include <cstdint>
#include <string>

namespace seer::worker {

class OomWatch {
 public:
  // `root` stands for "/" in tests. Kernels without either counter: no kill is ever seen.
  explicit OomWatch(std::string root = "");

  // One more process was killed than were taken and forgotten: it is taken.
  bool TakeOne();
  // What was not taken so far was not of a rank.
  void Forget() { taken_ = Kills(); }

 private:
  int64_t Kills() const;

  const std::string root_;
  std::string file_;
  int64_t taken_ = 0;
};

}  // namespace seer::worker
