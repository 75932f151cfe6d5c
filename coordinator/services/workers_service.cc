#include "coordinator/services/workers_service.h"

#include <string>
#include <utility>

#include "common/base/status_macros.h"
#include "common/rpc/status_grpc.h"
#include "coordinator/services/convert.h"
#include "coordinator/services/page_token.h"

namespace seer::coordinator {

absl::Status WorkersService::List(const v1::ListWorkersRequest& request,
                                  v1::ListWorkersResponse& out) {
  SEER_ASSIGN_OR_RETURN(const int size, PageSize(request.page_size(), 100, 1000));
  SEER_ASSIGN_OR_RETURN(const auto token, ReadPageToken("workers", 1, request.page_token()));
  return runner_.Read([&](const Core& core, Store&) {
    const auto& workers = core.workers();
    for (auto it = token.empty() ? workers.begin() : workers.upper_bound(token[0]);
         it != workers.end(); ++it) {
      if (out.workers_size() == size) {
        out.set_next_page_token(MakePageToken("workers", {std::prev(it)->first}));
        break;
      }
      *out.add_workers() = ToProto(it->second, core);
    }
    return absl::OkStatus();
  });
}

absl::Status WorkersService::Get(const std::string& name, v1::Worker& out) {
  return runner_.Read([&](const Core& core, Store&) -> absl::Status {
    SEER_ASSIGN_OR_RETURN(const Worker* worker, core.FindWorker(name));
    out = ToProto(*worker, core);
    return absl::OkStatus();
  });
}

absl::Status WorkersService::Change(const std::string& name, Command command, v1::Worker& out) {
  SEER_RETURN_IF_ERROR(runner_.Execute(std::move(command)).status);
  return Get(name, out);
}

grpc::Status WorkersService::GetWorker(grpc::ServerContext*, const v1::GetWorkerRequest* request,
                                       v1::Worker* out) {
  return ToGrpc(Get(request->name(), *out));
}

grpc::Status WorkersService::CordonWorker(grpc::ServerContext*,
                                          const v1::CordonWorkerRequest* request, v1::Worker* out) {
  return ToGrpc(Change(request->name(),
                       command::CordonWorker{request->name(), request->reason(), false}, *out));
}

grpc::Status WorkersService::UncordonWorker(grpc::ServerContext*,
                                            const v1::UncordonWorkerRequest* request,
                                            v1::Worker* out) {
  return ToGrpc(Change(request->name(), command::UncordonWorker{request->name()}, *out));
}

grpc::Status WorkersService::DrainWorker(grpc::ServerContext*,
                                         const v1::DrainWorkerRequest* request, v1::Worker* out) {
  return ToGrpc(Change(request->name(),
                       command::CordonWorker{request->name(), request->reason(), true}, *out));
}

grpc::Status WorkersService::ListWorkers(grpc::ServerContext*,
                                         const v1::ListWorkersRequest* request,
                                         v1::ListWorkersResponse* out) {
  return ToGrpc(List(*request, *out));
}

}  // namespace seer::coordinator
