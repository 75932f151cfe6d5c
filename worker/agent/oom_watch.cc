#include "worker/agent/oom_watch.h"

#include <fstream>
#include <utility>

#include "absl/strings/strip.h"

namespace seer::worker {
namespace {

// "0::/system.slice/seer-worker.service" is the line of cgroup v2.
std::string CgroupOf(const std::string& root) {
  std::ifstream in(root + "/proc/self/cgroup");
  for (std::string line; std::getline(in, line);) {
    absl::string_view path = line;
    if (absl::ConsumePrefix(&path, "0::")) return std::string(path);
  }
  return "";
}

}  // namespace

OomWatch::OomWatch(std::string root)
    : root_(std::move(root)), file_(root_ + "/sys/fs/cgroup" + CgroupOf(root_) + "/memory.events") {
  if (!std::ifstream(file_).good()) file_ = root_ + "/proc/vmstat";
  Forget();
}

int64_t OomWatch::Kills() const {
  std::ifstream in(file_);
  std::string key;
  for (int64_t value = 0; in >> key >> value;)
    if (key == "oom_kill") return value;
  return 0;
}

bool OomWatch::TakeOne() {
  if (Kills() <= taken_) return false;
  ++taken_;
  return true;
}

}  // namespace seer::worker
