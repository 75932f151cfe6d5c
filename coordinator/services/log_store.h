// Log lines of jobs' ranks, as files "<root>/<job>/<segment>.log" beside the database; not fsynced.
// A job keeps its newest kSegments files of kSegmentBytes (32 MiB in all);
// what is older is dropped. Thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace seer::coordinator {

// Where a reader stands; the default is the oldest line that is kept.
struct LogPosition {
  int64_t segment = 0;
  int64_t offset = 0;
};

struct LogRecord {
  absl::Time time;
  int attempt = 0;
  int rank = 0;
  std::string text;       // without line breaks
  LogPosition next = {};  // of one that was read: behind it
};

class LogStore {
 public:
  static constexpr int64_t kSegmentBytes = 8 << 20;
  static constexpr int kSegments = 4;
  static constexpr size_t kLineBytes = 64 << 10;  // a longer line is cut

  explicit LogStore(std::string root) : root_(std::move(root)) {}
  // `job`: an id that the coordinator gave.
  // RESOURCE_EXHAUSTED with DISK_FULL, UNAVAILABLE with STORAGE_FAILED.
  absl::Status Append(const std::string& job, const std::vector<LogRecord>& lines)
      ABSL_LOCKS_EXCLUDED(mu_);
  // Those that there are files of, also of jobs that nobody knows any more.
  std::vector<std::string> Jobs() const;
  // Removes the job's files, and its folder if nothing else is in it: their bytes, 0: it had none.
  // Errors as Append.
  absl::StatusOr<int64_t> Drop(const std::string& job) ABSL_LOCKS_EXCLUDED(mu_);
  // All of the job's lines, and its folder with what else is in it. UNAVAILABLE with
  // STORAGE_FAILED: some of it may be left.
  absl::Status Remove(const std::string& job) ABSL_LOCKS_EXCLUDED(mu_);
  // That another process may have written since.
  void Reopen() ABSL_LOCKS_EXCLUDED(mu_);
  // About 1 MiB of lines from `position`, which moves on; none: there are no more now.
  absl::StatusOr<std::vector<LogRecord>> Read(const std::string& job, LogPosition& position);
  // `position`, if it is behind a line of the time `time`, as it was when the line was read, or
  // that line is no longer kept. Else, as the files are not those that the line came from: behind
  // the last line that is not later.
  absl::StatusOr<LogPosition> Behind(const std::string& job, LogPosition position, absl::Time time);

 private:
  std::vector<int64_t> Segments(const std::string& job) const;  // ascending
  std::string Path(const std::string& job, int64_t segment) const;

  const std::string root_;
  absl::Mutex mu_;  // one writer
  std::map<std::string, LogPosition> ends_ ABSL_GUARDED_BY(mu_);
};

}  // namespace seer::coordinator
