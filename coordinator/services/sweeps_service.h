// seer.v1.Sweeps: protos to commands and back.
// Thread-safe; calls block a thread of the server's pool.
#pragma once

#include <string>

#include "common/base/clock.h"
#include "coordinator/services/core_runner.h"
#include "coordinator/services/job_maker.h"
#include "seer/v1/sweeps.grpc.pb.h"

namespace seer::coordinator {

class SweepsService final : public v1::Sweeps::Service {
 public:
  // All must outlive the service.
  SweepsService(CoreRunner& runner, Clock& clock, JobMaker& maker)
      : runner_(runner), clock_(clock), maker_(maker) {}

  grpc::Status CreateSweep(grpc::ServerContext*, const v1::CreateSweepRequest*,
                           v1::Sweep*) override;
  grpc::Status GetSweep(grpc::ServerContext*, const v1::GetSweepRequest*, v1::Sweep*) override;
  grpc::Status ListSweeps(grpc::ServerContext*, const v1::ListSweepsRequest*,
                          v1::ListSweepsResponse*) override;
  grpc::Status CancelSweep(grpc::ServerContext*, const v1::CancelSweepRequest*,
                           v1::Sweep*) override;

 private:
  absl::Status Get(const std::string& name, v1::Sweep& out);
  absl::Status List(const v1::ListSweepsRequest& request, v1::ListSweepsResponse& out);
  absl::Status Create(const v1::CreateSweepRequest& request, v1::Sweep& out);

  CoreRunner& runner_;
  Clock& clock_;
  JobMaker& maker_;
};

}  // namespace seer::coordinator
