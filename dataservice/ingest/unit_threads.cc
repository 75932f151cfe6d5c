#include "dataservice/ingest/unit_threads.h"

#include <optional>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "common/base/status_macros.h"
#include "common/base/thread.h"

namespace seer::dataservice {
namespace {

using Make = std::function<absl::Status(size_t unit, UnitReport report)>;

class Crew {
 public:
  Crew(size_t begin, size_t end, int threads, IngestCounts counts, const Make& make)
      : make_(make), next_(begin), end_(end), working_(threads), counts_(std::move(counts)) {}

  // Body of a thread.
  void Work() ABSL_LOCKS_EXCLUDED(mu_) {
    while (const auto unit = Next()) {
      const absl::Status made =
          make_(*unit, [this](const IngestCounts& counts) { return Report(counts); });
      if (!made.ok()) Stop(made);
    }
    absl::MutexLock lock(&mu_);
    --working_;
    news_ = true;
  }

  // Waits for news. Nullopt: all threads are done.
  std::optional<IngestCounts> News() ABSL_LOCKS_EXCLUDED(mu_) {
    const auto news = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return news_; };
    absl::MutexLock lock(&mu_);
    mu_.Await(absl::Condition(&news));
    news_ = false;
    return working_ > 0 ? std::optional<IngestCounts>(counts_) : std::nullopt;
  }

  void Stop(const absl::Status& status) ABSL_LOCKS_EXCLUDED(mu_) {
    absl::MutexLock lock(&mu_);
    status_.Update(status);
  }

  // When all threads are done.
  absl::StatusOr<IngestCounts> Result() ABSL_LOCKS_EXCLUDED(mu_) {
    absl::MutexLock lock(&mu_);
    if (!status_.ok()) return status_;
    return counts_;
  }

 private:
  std::optional<size_t> Next() ABSL_LOCKS_EXCLUDED(mu_) {
    absl::MutexLock lock(&mu_);
    return next_ < end_ && status_.ok() ? std::optional<size_t>(next_++) : std::nullopt;
  }
  absl::Status Report(const IngestCounts& counts) ABSL_LOCKS_EXCLUDED(mu_) {
    absl::MutexLock lock(&mu_);
    counts_ += counts;
    news_ = true;
    return status_;
  }

  const Make& make_;
  absl::Mutex mu_;
  size_t next_ ABSL_GUARDED_BY(mu_);  // unit that nobody has begun
  const size_t end_;
  int working_ ABSL_GUARDED_BY(mu_);          // threads
  bool news_ ABSL_GUARDED_BY(mu_) = false;    // for the caller
  absl::Status status_ ABSL_GUARDED_BY(mu_);  // not OK: why it ends
  IngestCounts counts_ ABSL_GUARDED_BY(mu_);
};

}  // namespace

absl::StatusOr<IngestCounts> RunUnits(
    size_t begin, size_t end, int threads, IngestCounts counts, const Make& make,
    const std::function<absl::Status(const IngestCounts&)>& progress) {
  Crew crew(begin, end, threads, std::move(counts), make);
  std::vector<Thread> workers;
  for (int i = 0; i < threads; ++i) workers.emplace_back("ingest", [&crew] { crew.Work(); });
  while (const auto news = crew.News()) {
    const absl::Status go_on = progress(*news);
    if (!go_on.ok()) crew.Stop(go_on);
  }
  workers.clear();
  SEER_ASSIGN_OR_RETURN(counts, crew.Result());
  SEER_RETURN_IF_ERROR(progress(counts));
  return counts;
}

}  // namespace seer::dataservice
