// How jobs' training went, as files "<root>/<job>/curve": at most kMaxPoints points of a job,
// evenly spread over its steps; not fsynced. A job that goes back to a checkpoint loses the points
// of the steps that it does again. Thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "seer/v1/jobs.pb.h"

namespace seer::coordinator {

class CurveStore {
 public:
  static constexpr size_t kMaxPoints = 1000;

  // `root`: as LogStore's. Reads of a missing file give no points.
  explicit CurveStore(std::string root) : root_(std::move(root)) {}
  // The job's newest progress; writes a file. `job`: an id that the coordinator gave.
  // RESOURCE_EXHAUSTED with DISK_FULL, UNAVAILABLE with STORAGE_FAILED.
  absl::Status Add(const std::string& job, const v1::Progress& point) ABSL_LOCKS_EXCLUDED(mu_);
  // The job's curve. UNAVAILABLE with STORAGE_FAILED.
  absl::Status Remove(const std::string& job) ABSL_LOCKS_EXCLUDED(mu_);
  // That another process may have written since.
  void Reopen() ABSL_LOCKS_EXCLUDED(mu_);
  // By step, ascending.
  std::vector<v1::Progress> Read(const std::string& job) const ABSL_LOCKS_EXCLUDED(mu_);

 private:
  // What is known of a job's file.
  struct Curve {
    size_t points = 0;
    int64_t last_step = 0;
    int64_t gap = 1;  // steps between two points, at least
  };
  std::string Path(const std::string& job) const;
  std::vector<v1::Progress> Load(const std::string& job) const;
  absl::Status Save(const std::string& job, const std::vector<v1::Progress>& points) const;
  Curve Look(const std::string& job) const;

  const std::string root_;
  mutable absl::Mutex mu_;  // one writer; held over a file's I/O, which is bounded
  std::map<std::string, Curve> curves_ ABSL_GUARDED_BY(mu_);  // of jobs that reported
};

// At most `most` of them, evenly spread; the last is always there.
std::vector<v1::Progress> Thinned(const std::vector<v1::Progress>& points, size_t most);

}  // namespace seer::coordinator
