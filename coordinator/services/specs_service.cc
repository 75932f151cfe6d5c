#include "coordinator/services/specs_service.h"

#include <utility>

#include "common/base/status_macros.h"
#include "common/rpc/status_grpc.h"
#include "common/spec/given_specs.h"

namespace seer::coordinator {
namespace {

absl::Status Parse(const v1::ParseSpecsRequest& request, v1::ParseSpecsResponse& response) {
  const SpecText text{request.text(), request.source().empty() ? "text" : request.source()};
  const SpecEdits edits{{request.sets().begin(), request.sets().end()}, request.name()};
  SEER_ASSIGN_OR_RETURN(auto specs, ReadGivenSpecs(text, edits, ShippedRecipeDirs()));
  for (v1::JobSpec& spec : specs) *response.add_specs() = std::move(spec);
  return absl::OkStatus();
}

}  // namespace

grpc::Status SpecsService::ParseSpecs(grpc::ServerContext*, const v1::ParseSpecsRequest* request,
                                      v1::ParseSpecsResponse* response) {
  return ToGrpc(Parse(*request, *response));
}

}  // namespace seer::coordinator
