// The agent's stream to the coordinator that leads: dialled, read, written, and dialled again with
// full jitter when it breaks. Thread-safe. Owns a thread that dials and reads, and one a stream
// that writes; Stop or the destructor cancels the stream and joins them.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/base/thread.h"
#include "seer/internal/v1/agent.grpc.pb.h"

namespace seer {
class ClientSecurity;
}

namespace seer::worker {

struct LinkCallbacks {
  // On the link's thread, with no lock held. `opened` gives the hello to start a new stream with.
  std::function<internal::v1::AgentMessage()> opened;
  std::function<void(internal::v1::CoordinatorMessage)> received;
  // `unsent`: messages that Send took and that have not left.
  std::function<void(std::deque<internal::v1::AgentMessage> unsent)> closed;
};

class Link {
 public:
  // What waits for a coordinator that reads slowly; at either bound Send refuses.
  static constexpr size_t kMaxUnsentMessages = 1000, kMaxUnsentBytes = 64 << 20;

  // `coordinators`: "host:port", or those of several with commas. `security`: as MakeChannel.
  Link(const std::string& coordinators, std::shared_ptr<const ClientSecurity> security,
       LinkCallbacks callbacks);
  ~Link() { Stop(); }
  // Cancels the stream and joins: no callback runs after it, and Send refuses. Not from a callback.
  void Stop() ABSL_LOCKS_EXCLUDED(mu_);
  // Never blocks. False: no stream is open now, or too much is waiting; it will not be sent. True:
  // it leaves after those before it, but may not arrive.
  bool Send(const internal::v1::AgentMessage& message) ABSL_LOCKS_EXCLUDED(mu_);
  size_t unsent_bytes() ABSL_LOCKS_EXCLUDED(mu_);
  // Where there are several coordinators: gives up a stream that has brought nothing for `limit`,
  // as of one whose machine hangs, so that another one is dialled.
  void LeaveSilent(absl::Duration limit) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  using Stream =
      grpc::ClientReaderWriter<internal::v1::AgentMessage, internal::v1::CoordinatorMessage>;
  void Run();
  bool Read(Stream& stream, grpc::ClientContext& context);  // until it breaks; true: was welcomed
  void Write(Stream& stream) ABSL_LOCKS_EXCLUDED(mu_);      // body of a stream's writer
  bool HasWork() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return !open_ || !unsent_.empty(); }

  const std::vector<std::string> coordinators_;
  const std::string named_;  // all of them, for logs
  const std::shared_ptr<const ClientSecurity> security_;
  const LinkCallbacks callbacks_;
  absl::Mutex mu_;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  grpc::ClientContext* context_ ABSL_GUARDED_BY(mu_) = nullptr;
  absl::Duration heard_ ABSL_GUARDED_BY(mu_);  // steady time of the dialling or the newest message
  bool open_ ABSL_GUARDED_BY(mu_) = false;     // greeted, and not broken yet
  bool writing_ ABSL_GUARDED_BY(mu_) = false;
  std::deque<internal::v1::AgentMessage> unsent_ ABSL_GUARDED_BY(mu_);
  size_t unsent_bytes_ ABSL_GUARDED_BY(mu_) = 0;
  Thread thread_;
};

}  // namespace seer::worker
