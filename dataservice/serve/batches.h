// Batches.StreamBatches: assembles a window of steps ahead of the reader, sends them in order.
// Thread-safe.
#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "common/batches/slots.h"
#include "common/rpc/guard.h"
#include "dataservice/metrics.h"
#include "dataservice/serve/assembler.h"
#include "dataservice/serve/batch_sequence.h"
#include "dataservice/serve/generation_cache.h"
#include "dataservice/serve/replica_load.h"
#include "seer/v1/batches.grpc.pb.h"

namespace seer::dataservice {

class BatchesService final : public v1::Batches::Service {
 public:
  // `slot_folder`: where readers' shared memory is looked for.
  // `threads`: that decode. `guard`: of the server, asked about each stream's request; nullptr:
  // everybody may read everything.
  BatchesService(GenerationCache& generations, Assembler& assembler, DataMetrics& metrics,
                 std::string slot_folder, int threads, CallGuard* guard = nullptr);

  grpc::Status GetReplicaLoad(grpc::ServerContext* context,
                              const v1::GetReplicaLoadRequest* request,
                              v1::ReplicaLoad* load) override;

  // Streams end with UNAVAILABLE after their next message: readers go on at another replica.
  void Drain() { draining_ = true; }

 private:
  // Messages are encoded here, with pixels where they are (common/batches/message.h).
  using Writer = grpc::ServerSplitStreamer<v1::StreamBatchesRequest, grpc::ByteBuffer>;

  grpc::Status Answer(grpc::ServerContext& context, Writer& writer);
  absl::Status Stream(grpc::ServerContext& context, const v1::StreamBatchesRequest& request,
                      Writer& writer);
  // The reader's shared memory; null: it has none that this replica can use.
  absl::StatusOr<std::shared_ptr<SlotWriter>> OpenSlots(const v1::StreamBatchesRequest& request,
                                                        int64_t batch_bytes) const;

  DataMetrics& metrics_;
  BufferedBatches buffered_;
  ReplicaLoadMeter load_;
  const BatchSequence::Parts parts_;
  const std::string slot_folder_;
  CallGuard* const guard_;
  std::atomic<bool> draining_{false};
};

}  // namespace seer::dataservice
