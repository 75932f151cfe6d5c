// Runs fetches on threads of its own ("fetch"), some ahead of the reader, and hands out what they
// bring in the order in which they were given. Not thread-safe.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "common/base/thread.h"
#include "dataservice/ingest/sources.h"

namespace seer::dataservice {

class ReadAhead {
 public:
  using Fetch = std::function<absl::StatusOr<SourceImage>()>;
  // Gives the next fetch, an empty one at the end; called by Next() alone.
  using Generator = std::function<absl::StatusOr<Fetch>()>;

  // Twice as many fetches as threads are begun ahead, fewer when what has come is above 256 MiB.
  ReadAhead(int threads, Generator generator);
  ~ReadAhead();  // waits for the fetches that run

  // nullopt: the generator came to an end, and all before it was handed out; the next call asks it
  // again. An error of a fetch or of the generator is final.
  absl::StatusOr<std::optional<SourceImage>> Next() ABSL_LOCKS_EXCLUDED(mu_);

 private:
  struct Slot {
    Fetch fetch;
    bool done = false;
    absl::StatusOr<SourceImage> image = absl::UnknownError("not fetched");
  };
  absl::Status Fill() ABSL_LOCKS_EXCLUDED(mu_);
  void Work() ABSL_LOCKS_EXCLUDED(mu_);

  const size_t max_threads_;
  const Generator generator_;
  bool ended_ = false;
  absl::Mutex mu_;
  std::deque<std::shared_ptr<Slot>> slots_ ABSL_GUARDED_BY(mu_);    // in order, until handed out
  std::deque<std::shared_ptr<Slot>> waiting_ ABSL_GUARDED_BY(mu_);  // not begun
  int64_t ready_bytes_ ABSL_GUARDED_BY(mu_) = 0;
  bool stop_ ABSL_GUARDED_BY(mu_) = false;
  std::vector<Thread> threads_;  // one for each fetch at first; last: joined before the rest goes
};

}  // namespace seer::dataservice
