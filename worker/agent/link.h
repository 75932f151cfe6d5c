// The agent's stream to the coordinator: dialled, read, and dialled again with full jitter when it
// breaks. Thread-safe. Owns one thread; the destructor cancels the stream and joins it.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "common/base/thread.h"
#include "seer/internal/v1/agent.grpc.pb.h"

namespace seer::worker {

struct LinkCallbacks {
  // On the link's thread. `opened` gives the hello to start a new stream with.
  std::function<internal::v1::AgentMessage()> opened;
  std::function<void(internal::v1::CoordinatorMessage)> received;
  std::function<void()> closed;
};

class Link {
 public:
  Link(const std::string& coordinator, LinkCallbacks callbacks);
  ~Link();
  // False: no stream is open now; nothing was sent. True does not promise that it arrives.
  bool Send(const internal::v1::AgentMessage& message) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  using Stream =
      grpc::ClientReaderWriter<internal::v1::AgentMessage, internal::v1::CoordinatorMessage>;
  void Run();

  const std::string coordinator_;
  const LinkCallbacks callbacks_;
  const std::shared_ptr<grpc::Channel> channel_;
  absl::Mutex mu_;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  grpc::ClientContext* context_ ABSL_GUARDED_BY(mu_) = nullptr;
  Stream* stream_ ABSL_GUARDED_BY(mu_) = nullptr;  // open and greeted
  Thread thread_;
};

}  // namespace seer::worker
