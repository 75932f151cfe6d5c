// seer.v1.Workers. Thread-safe.
#pragma once

#include <string>

#include "coordinator/services/core_runner.h"
#include "seer/v1/workers.grpc.pb.h"

namespace seer::coordinator {

class WorkersService final : public v1::Workers::Service {
 public:
  explicit WorkersService(CoreRunner& runner) : runner_(runner) {}  // must outlive the service
  grpc::Status GetWorker(grpc::ServerContext*, const v1::GetWorkerRequest*, v1::Worker*) override;
  grpc::Status ListWorkers(grpc::ServerContext*, const v1::ListWorkersRequest*,
                           v1::ListWorkersResponse*) override;
  grpc::Status CordonWorker(grpc::ServerContext*, const v1::CordonWorkerRequest*,
                            v1::Worker*) override;
  grpc::Status UncordonWorker(grpc::ServerContext*, const v1::UncordonWorkerRequest*,
                              v1::Worker*) override;
  grpc::Status DrainWorker(grpc::ServerContext*, const v1::DrainWorkerRequest*,
                           v1::Worker*) override;

 private:
  absl::Status Get(const std::string& name, v1::Worker& out);
  absl::Status Change(const std::string& name, Command command, v1::Worker& out);
  absl::Status List(const v1::ListWorkersRequest& request, v1::ListWorkersResponse& out);

  CoreRunner& runner_;
};

}  // namespace seer::coordinator
