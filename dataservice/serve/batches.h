// Batches.StreamBatches: assembles a window of steps ahead of the reader, sends them in order.
// Thread-safe.
#pragma once

#include "dataservice/metrics.h"
#include "dataservice/serve/assembler.h"
#include "dataservice/serve/generation_cache.h"
#include "seer/v1/batches.grpc.pb.h"

namespace seer::dataservice {

class BatchesService final : public v1::Batches::Service {
 public:
  // Messages of one stream that are being assembled or wait to be sent; with gRPC's flow control
  // this bounds its memory. At most 4, fewer where they are large, but 2: one is made while another
  // is sent.
  static size_t WindowOf(int64_t message_bytes);

  BatchesService(GenerationCache& generations, Assembler& assembler, DataMetrics& metrics)
      : generations_(generations), assembler_(assembler), metrics_(metrics) {}

  grpc::Status StreamBatches(grpc::ServerContext* context, const v1::StreamBatchesRequest* request,
                             grpc::ServerWriter<v1::BatchMessage>* writer) override;

  // Streams end with UNAVAILABLE after their next message: readers go on at another replica.
  void Drain() { draining_ = true; }

 private:
  absl::Status Stream(grpc::ServerContext& context, const v1::StreamBatchesRequest& request,
                      grpc::ServerWriter<v1::BatchMessage>& writer);

  GenerationCache& generations_;
  Assembler& assembler_;
  DataMetrics& metrics_;
  std::atomic<int> buffered_{0};
  std::atomic<bool> draining_{false};
};

}  // namespace seer::dataservice
