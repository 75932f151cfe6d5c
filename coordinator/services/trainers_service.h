// seer.internal.v1.Trainers: what running ranks report. Thread-safe.
#pragma once

#include "common/base/loop.h"
#include "coordinator/services/core_runner.h"
#include "coordinator/services/curve_store.h"
#include "seer/internal/v1/trainer.grpc.pb.h"

namespace seer::coordinator {

class TrainersService final : public internal::v1::Trainers::Service {
 public:
  // All must outlive the service, and `writer` the server's stop: points of curves are written
  // there.
  TrainersService(CoreRunner& runner, Loop& writer, CurveStore& curves)
      : runner_(runner), writer_(writer), curves_(curves) {}
  grpc::Status ReportProgress(grpc::ServerContext*, const internal::v1::ReportProgressRequest*,
                              internal::v1::ReportProgressResponse*) override;
  grpc::Status ReportCheckpoint(grpc::ServerContext*, const internal::v1::ReportCheckpointRequest*,
                                internal::v1::ReportCheckpointResponse*) override;
  grpc::Status ReportEval(grpc::ServerContext*, const internal::v1::ReportEvalRequest*,
                          internal::v1::ReportEvalResponse*) override;
  grpc::Status ReportProfile(grpc::ServerContext*, const internal::v1::ReportProfileRequest*,
                             internal::v1::ReportProfileResponse*) override;

 private:
  CoreRunner& runner_;
  Loop& writer_;
  CurveStore& curves_;
};

}  // namespace seer::coordinator
