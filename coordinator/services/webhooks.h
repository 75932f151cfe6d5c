// Tells those whom a job's spec names (alerts.webhooks) of its events: an HTTP POST of JSON, signed
// if there is a secret. Owns its threads, a bounded queue and the retries. What is queued when the
// process ends is lost; until then each post is made until it is answered, which may be twice: the
// event's number tells. Thread-safe.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/base/backoff.h"
#include "common/base/clock.h"
#include "common/base/thread.h"
#include "common/http/http_client.h"
#include "coordinator/core/model.h"
#include "coordinator/metrics.h"
#include "seer/v1/job_spec.pb.h"

namespace seer::coordinator {

struct WebhookOptions {
  std::string secret;   // signs bodies; empty: they are not
  size_t queue = 1000;  // posts that wait, also for another attempt; what comes then is dropped
  int threads = 4;      // posts at a time
  int attempts = 8;     // of one post; with the waits about ten minutes
  absl::Duration first_backoff = absl::Seconds(2);  // with jitter, doubling
  absl::Duration max_backoff = absl::Minutes(5);
  absl::Duration timeout = absl::Seconds(10);  // of one attempt
};

// Whether a webhook is told of an event: by its type, or by the state that the job comes to;
// without a list of the job's end, attempts that failed, and what health rules find.
bool Wants(const v1::WebhookSpec& webhook, const Event& event);

class Webhooks {
 public:
  // A post was given up: the job's id and why, without secrets of the URL. On a thread of this.
  using Failed = std::function<void(const std::string& job, const std::string& why)>;
  // `clock` and `metrics` must outlive this.
  Webhooks(WebhookOptions options, Clock& clock, CoordinatorMetrics& metrics, Failed failed);
  ~Webhooks();  // waits for the posts that are being made: `timeout` at most

  // Queues what `job`'s webhooks want to know. Does not block.
  void Offer(const Event& event, const Job& job) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  struct Post {
    std::string url, body, job;
    int64_t event = 0;
    int attempt = 1;
    ::seer::Backoff backoff;
  };
  void Run() ABSL_LOCKS_EXCLUDED(mu_);
  absl::Duration Earliest() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);  // infinite: none waits
  // The next one that is due; nullptr: it stops.
  std::unique_ptr<Post> Take() ABSL_LOCKS_EXCLUDED(mu_);
  void Add(std::unique_ptr<Post> post, absl::Duration due) ABSL_LOCKS_EXCLUDED(mu_);
  void Make(HttpClient& client, std::unique_ptr<Post> post) ABSL_LOCKS_EXCLUDED(mu_);

  const WebhookOptions options_;
  Clock& clock_;
  CoordinatorMetrics& metrics_;
  const Failed failed_;
  absl::Mutex mu_;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  std::multimap<absl::Duration, std::unique_ptr<Post>> waiting_
      ABSL_GUARDED_BY(mu_);      // by when they are due, steady time
  std::vector<Thread> threads_;  // last: everything they touch is built before them
};

}  // namespace seer::coordinator
