// seer.v1.Curves. Thread-safe; calls block a thread of the server's pool.
#pragma once

#include "coordinator/services/core_runner.h"
#include "coordinator/services/curve_store.h"
#include "seer/v1/curves.grpc.pb.h"

namespace seer::coordinator {

class CurvesService final : public v1::Curves::Service {
 public:
  // Both must outlive the service.
  CurvesService(CoreRunner& runner, const CurveStore& curves) : runner_(runner), curves_(curves) {}

  grpc::Status GetCurve(grpc::ServerContext*, const v1::GetCurveRequest*, v1::Curve*) override;

 private:
  absl::Status Get(const v1::GetCurveRequest& request, v1::Curve& out);

  CoreRunner& runner_;
  const CurveStore& curves_;
};

}  // namespace seer::coordinator
