// seer.v1.Specs: texts of jobs, read by common/spec. Without state; thread-safe.
#pragma once

#include "seer/v1/specs.grpc.pb.h"

namespace seer::coordinator {

class SpecsService final : public v1::Specs::Service {
 public:
  grpc::Status ParseSpecs(grpc::ServerContext*, const v1::ParseSpecsRequest*,
                          v1::ParseSpecsResponse*) override;
};

}  // namespace seer::coordinator
