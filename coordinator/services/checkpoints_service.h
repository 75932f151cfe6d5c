// seer.v1.Checkpoints. Thread-safe; verification reads files on the call's own thread.
#pragma once

#include <string>

#include "coordinator/services/checkpoint_files.h"
#include "coordinator/services/core_runner.h"
#include "seer/v1/checkpoints.grpc.pb.h"

namespace seer::coordinator {

class CheckpointsService final : public v1::Checkpoints::Service {
 public:
  // `runner` and `files` must outlive the service.
  CheckpointsService(CoreRunner& runner, CheckpointFiles& files, std::string storage_uri)
      : runner_(runner), files_(files), storage_uri_(std::move(storage_uri)) {}

  grpc::Status GetCheckpoint(grpc::ServerContext*, const v1::GetCheckpointRequest*,
                             v1::Checkpoint*) override;
  grpc::Status ListCheckpoints(grpc::ServerContext*, const v1::ListCheckpointsRequest*,
                               v1::ListCheckpointsResponse*) override;
  grpc::Status VerifyCheckpoint(grpc::ServerContext*, const v1::VerifyCheckpointRequest*,
                                v1::Checkpoint*) override;
  grpc::Status PinCheckpoint(grpc::ServerContext*, const v1::PinCheckpointRequest*,
                             v1::Checkpoint*) override;
  grpc::Status UnpinCheckpoint(grpc::ServerContext*, const v1::UnpinCheckpointRequest*,
                               v1::Checkpoint*) override;
  grpc::Status PruneCheckpoints(grpc::ServerContext*, const v1::PruneCheckpointsRequest*,
                                v1::PruneCheckpointsResponse*) override;

 private:
  absl::StatusOr<Checkpoint> Find(const std::string& name);
  absl::Status Get(const std::string& name, v1::Checkpoint& out);
  absl::Status Unpin(const std::string& name, v1::Checkpoint& out);
  absl::Status Prune(const v1::PruneCheckpointsRequest& request, v1::PruneCheckpointsResponse& out);
  absl::Status List(const v1::ListCheckpointsRequest& request, v1::ListCheckpointsResponse& out);
  absl::Status Verify(const grpc::ServerContext& context, const std::string& name,
                      v1::Checkpoint& out);

  CoreRunner& runner_;
  CheckpointFiles& files_;
  const std::string storage_uri_;
};

}  // namespace seer::coordinator
