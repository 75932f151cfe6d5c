// Which replica of the data service a rank reads from: one after the other while they fail, and
// away from a busy or silent one to another that would have less to do. Thread-safe; owns one
// thread, which asks replicas how busy they are.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/random/random.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/base/thread.h"
#include "seer/v1/batches.pb.h"

namespace seer {
class ClientSecurity;
}

namespace seer::worker {

struct ReplicaChoiceOptions {
  std::vector<std::string> replicas;  // host:port; a name may have several addresses, also later
  int first = 0;                      // to spread ranks; the others follow in order
  std::string job;                    // "jobs/{job}"
  int rank = 0;
  absl::Duration period = absl::Seconds(10);  // between two looks around, give or take a quarter
  // Without a batch for so long, while it is waited for, a replica that does not answer is left.
  absl::Duration silence = absl::Seconds(15);
};

// The chance with which a reader of `own` moves to `other`: above 0 if that has clearly less to do,
// the reader's own stream included, and so high that of many readers that look at once about as
// many move as make the two alike.
double MoveProbability(const v1::ReplicaLoad& own, const v1::ReplicaLoad& other);

class ReplicaChoice {
 public:
  // GetReplicaLoad at an address, with a deadline.
  using Ask = std::function<absl::StatusOr<v1::ReplicaLoad>(const std::string& replica,
                                                            const v1::GetReplicaLoadRequest&)>;
  // `security`: as MakeChannel.
  static Ask AskByGrpc(std::shared_ptr<const ClientSecurity> security);

  // `leave`: called on this one's thread, ends the stream that is read; its reader then calls Next.
  ReplicaChoice(ReplicaChoiceOptions options, Ask ask, std::function<void()> leave);
  ~ReplicaChoice();

  // Where to read now; empty: no replica was named. May ask the resolver.
  std::string Next() ABSL_LOCKS_EXCLUDED(mu_);
  void Received() ABSL_LOCKS_EXCLUDED(mu_);  // a batch, by the reader
  // By the training loop around its wait for a batch.
  void BeginWait() ABSL_LOCKS_EXCLUDED(mu_);
  void EndWait() ABSL_LOCKS_EXCLUDED(mu_);

 private:
  void Run() ABSL_LOCKS_EXCLUDED(mu_);
  void LookAround() ABSL_LOCKS_EXCLUDED(mu_);
  double TakeStallRatio(absl::Duration now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Leave(const std::string& own, const std::string& preferred, const char* why)
      ABSL_LOCKS_EXCLUDED(mu_);

  const ReplicaChoiceOptions options_;
  const Ask ask_;
  const std::function<void()> leave_;
  absl::Mutex mu_;
  size_t turn_ ABSL_GUARDED_BY(mu_);
  std::string current_ ABSL_GUARDED_BY(mu_);
  std::string preferred_ ABSL_GUARDED_BY(mu_);  // for the next turn; empty: that in order
  absl::Duration received_ ABSL_GUARDED_BY(mu_);
  absl::Duration waiting_since_ ABSL_GUARDED_BY(mu_) = absl::InfiniteDuration();  // infinite: not
  absl::Duration waited_ ABSL_GUARDED_BY(mu_);                                    // since asked_
  absl::Duration asked_ ABSL_GUARDED_BY(mu_);
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  absl::BitGen random_;  // the thread's own
  Thread thread_;
};

}  // namespace seer::worker
