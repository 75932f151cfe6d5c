// One rank's batches, read ahead of the training loop. Thread-safe.
// Owns a reader thread, joined by the destructor. A replica that dies, drains, falls silent or has
// much more to do than another is left, at the message that is due: no step is missed or comes
// twice.
#pragma once

#include <deque>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/base/thread.h"
#include "common/batches/pixel_buffers.h"
#include "common/batches/slots.h"
#include "common/trace/trace_context.h"
#include "engine/session/batch.h"
#include "seer/v1/batches.grpc.pb.h"
#include "worker/trainer/replica_choice.h"

namespace seer {
class ClientSecurity;
}

namespace seer::worker {

struct BatchStreamOptions {
  std::vector<std::string> replicas;                    // host:port, at least one
  std::shared_ptr<const ClientSecurity> security = {};  // as MakeChannel; also of their names
  int first_replica = 0;                          // to spread ranks; the others follow in order
  int prefetch_steps = 4;                         // batches held in host memory, 1 to 64
  absl::Duration stall_limit = absl::Minutes(5);  // no batch for so long fails the stream
  bool shared_memory = true;              // with replicas on this machine; false: messages alone
  std::string slot_folder = kSlotFolder;  // where its files are made
  // As ReplicaChoiceOptions has them.
  absl::Duration look_around = absl::Seconds(10);
  absl::Duration silence = absl::Seconds(15);
};

// UNAVAILABLE with SERVICE_UNREACHABLE: the assignment names no replica.
absl::Status NoReplica();

class BatchStream final : public engine::BatchSource {
 public:
  // `request`: of the whole stream; its first_step moves on when a replica is left.
  BatchStream(v1::StreamBatchesRequest request, BatchStreamOptions options);
  ~BatchStream() override;  // cancels the call, then joins; Next() must not be running

  // Blocks while none is ready. OUT_OF_RANGE: the stream's end. DATA_LOSS: too many undecodable
  // samples. DEADLINE_EXCEEDED with DATA_STALLED: stall_limit passed. UNAVAILABLE with
  // SERVICE_UNREACHABLE: no replica was named. An error is final: every later call returns it too.
  absl::StatusOr<engine::Batch> Next() override ABSL_LOCKS_EXCLUDED(mu_);

 private:
  void Leave() ABSL_LOCKS_EXCLUDED(mu_);  // the replica that is read
  void Read() ABSL_LOCKS_EXCLUDED(mu_);
  absl::Status ReadFrom(const std::string& replica);  // until it ends; OK: the stream's end
  // Puts new shared memory into the request, or takes it out: null.
  std::shared_ptr<SlotFile> OfferSlots(const std::string& replica);
  // One message of `replica`, whose pixels may be in `slots`. INTERNAL: it is no batch.
  absl::StatusOr<engine::Batch> Receive(grpc::ByteBuffer bytes, SlotFile* slots,
                                        const std::string& replica);
  bool Push(engine::Batch batch) ABSL_LOCKS_EXCLUDED(mu_);  // false: it is over
  bool Over() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return stopping_ || !end_.ok(); }
  bool HasRoom() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    return Over() || static_cast<int>(ready_.size()) < options_.prefetch_steps;
  }
  bool HasNext() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return !ready_.empty() || !end_.ok(); }

  // Of the reader thread alone.
  v1::StreamBatchesRequest request_;
  PixelBuffers buffers_;
  bool slots_refused_ = false;           // said already: this machine has no room for them
  std::set<std::string> without_slots_;  // replicas that did not use them

  const BatchStreamOptions options_;
  const TraceContext trace_;  // of the thread that opened it: calls are part of that
  absl::Mutex mu_;
  std::deque<engine::Batch> ready_ ABSL_GUARDED_BY(mu_);  // at most prefetch_steps
  absl::Status end_ ABSL_GUARDED_BY(mu_);                 // OK while the stream runs
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  grpc::ClientContext* context_ ABSL_GUARDED_BY(mu_) = nullptr;
  ReplicaChoice choice_;
  Thread reader_;  // last: everything it touches is built before it
};

}  // namespace seer::worker
