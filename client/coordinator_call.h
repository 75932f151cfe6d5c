// One call of the coordinator with one answer, made as Session::Call makes it.
#pragma once

#include <grpcpp/grpcpp.h>

#include "absl/status/statusor.h"
#include "client/cli.h"
#include "common/base/status_macros.h"
#include "common/rpc/status_grpc.h"

namespace seer::client {

// `method`: the stub's. Errors as Session::Call.
template <typename Stub, typename Request, typename Response>
absl::StatusOr<Response> CallCoordinator(const Session& session, Stub& stub,
                                         grpc::Status (Stub::*method)(grpc::ClientContext*,
                                                                      const Request&, Response*),
                                         const Request& request) {
  Response response;
  SEER_RETURN_IF_ERROR(session.Call("the coordinator", [&](grpc::ClientContext& context) {
    return FromGrpc((stub.*method)(&context, request, &response));
  }));
  return response;
}

// The same with a stub of its own: CallCoordinator<v1::Sweeps>(session, ...).
template <typename Service, typename Request, typename Response>
absl::StatusOr<Response> CallCoordinator(Session& session,
                                         grpc::Status (Service::Stub::*method)(grpc::ClientContext*,
                                                                               const Request&,
                                                                               Response*),
                                         const Request& request) {
  SEER_ASSIGN_OR_RETURN(const auto channel, session.Coordinator());
  const auto stub = Service::NewStub(channel);
  return CallCoordinator(session, *stub, method, request);
}

}  // namespace seer::client
