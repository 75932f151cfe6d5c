#include "coordinator/services/workers_service.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/base/error.h"
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

grpc::Status WorkersService::GetWorker(grpc::ServerContext*, const v1::GetWorkerRequest* request,
                                       v1::Worker* out) {
  return ToGrpc(runner_.Read([&](const Core& core, Store&) -> absl::Status {
    absl::string_view name = request->name();
    absl::ConsumePrefix(&name, "workers/");
    const auto it = core.workers().find(std::string(name));
    if (it == core.workers().end()) {
      return Error(absl::StatusCode::kNotFound, reason::kWorkerNotFound,
                   absl::StrCat("no worker '", name, "'"))
          .Field("name")
          .Hint("`seer worker list` shows the workers")
          .With("worker", name);
    }
    *out = ToProto(it->second, core);
    return absl::OkStatus();
  }));
}

grpc::Status WorkersService::ListWorkers(grpc::ServerContext*,
                                         const v1::ListWorkersRequest* request,
                                         v1::ListWorkersResponse* out) {
  return ToGrpc(List(*request, *out));
}

}  // namespace seer::coordinator
