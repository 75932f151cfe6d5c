// seer.v1.Queues: protos to commands and back.
// Thread-safe; calls block a thread of the server's pool.
#pragma once

#include "coordinator/services/core_runner.h"
#include "seer/v1/queues.grpc.pb.h"

namespace seer::coordinator {

class QueuesService final : public v1::Queues::Service {
 public:
  // `runner` must outlive the service.
  explicit QueuesService(CoreRunner& runner) : runner_(runner) {}

  grpc::Status CreateQueue(grpc::ServerContext*, const v1::CreateQueueRequest*,
                           v1::Queue*) override;
  grpc::Status GetQueue(grpc::ServerContext*, const v1::GetQueueRequest*, v1::Queue*) override;
  grpc::Status ListQueues(grpc::ServerContext*, const v1::ListQueuesRequest*,
                          v1::ListQueuesResponse*) override;
  grpc::Status UpdateQueue(grpc::ServerContext*, const v1::UpdateQueueRequest*,
                           v1::Queue*) override;
  grpc::Status DeleteQueue(grpc::ServerContext*, const v1::DeleteQueueRequest*,
                           v1::Queue*) override;

 private:
  absl::Status Get(const std::string& name, v1::Queue& out);
  absl::Status List(const v1::ListQueuesRequest& request, v1::ListQueuesResponse& out);
  absl::Status Create(const v1::Queue& queue, v1::Queue& out);
  absl::Status Update(const v1::UpdateQueueRequest& request, v1::Queue& out);
  absl::Status Delete(const v1::DeleteQueueRequest& request, v1::Queue& out);

  CoreRunner& runner_;
};

}  // namespace seer::coordinator
