#include "coordinator/services/queues_service.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/rpc/status_grpc.h"
#include "coordinator/services/convert.h"
#include "coordinator/services/etag.h"
#include "coordinator/services/page_token.h"

namespace seer::coordinator {
namespace {

// Sets one field of `to` as `from` has it; what that leaves unset becomes the default.
absl::Status SetField(const std::string& field, const v1::Queue& from, Queue& to) {
  if (field == "quota_devices") {
    to.quota = from.has_quota_devices() ? std::optional(from.quota_devices()) : std::nullopt;
  } else if (field == "borrow_devices") {
    to.borrow = from.has_borrow_devices() ? std::optional(from.borrow_devices()) : std::nullopt;
  } else if (field == "weight") {
    to.weight = from.weight() == 0 ? Queue().weight : from.weight();
  } else if (field == "max_preemptions_per_hour") {
    to.max_preemptions_per_hour = from.has_max_preemptions_per_hour()
                                      ? from.max_preemptions_per_hour()
                                      : Queue().max_preemptions_per_hour;
  } else if (field == "preemption_grace") {
    to.preemption_grace =
        from.has_preemption_grace() ? FromProto(from.preemption_grace()) : Queue().preemption_grace;
  } else {
    return Error(absl::StatusCode::kInvalidArgument, reason::kInvalidArgument,
                 absl::StrCat("a queue has no field '", field, "' that can be changed"))
        .Field("update_mask")
        .Hint(
            "quota_devices, borrow_devices, weight, max_preemptions_per_hour or preemption_grace");
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status QueuesService::Get(const std::string& name, v1::Queue& out) {
  return runner_.Read([&](const Core& core, Store&) -> absl::Status {
    SEER_ASSIGN_OR_RETURN(const Queue* queue, core.FindQueue(name));
    out = ToProto(*queue, core);
    return absl::OkStatus();
  });
}

absl::Status QueuesService::List(const v1::ListQueuesRequest& request,
                                 v1::ListQueuesResponse& out) {
  SEER_ASSIGN_OR_RETURN(const int size, PageSize(request.page_size(), 100, 1000));
  SEER_ASSIGN_OR_RETURN(const auto token, ReadPageToken("queues", 1, request.page_token()));
  return runner_.Read([&](const Core& core, Store&) {
    const auto& queues = core.queues();
    for (auto it = token.empty() ? queues.begin() : queues.upper_bound(token[0]);
         it != queues.end(); ++it) {
      if (out.queues_size() == size) {
        out.set_next_page_token(MakePageToken("queues", {std::prev(it)->first}));
        break;
      }
      *out.add_queues() = ToProto(it->second, core);
    }
    return absl::OkStatus();
  });
}

absl::Status QueuesService::Create(const v1::Queue& from, v1::Queue& out) {
  command::CreateQueue create;
  create.queue.name = std::string(absl::StripPrefix(from.name(), "queues/"));
  for (const char* field : {"quota_devices", "borrow_devices", "weight", "max_preemptions_per_hour",
                            "preemption_grace"})
    SEER_RETURN_IF_ERROR(SetField(field, from, create.queue));
  const std::string name = create.queue.name;
  SEER_RETURN_IF_ERROR(runner_.Execute(std::move(create)).status);
  return Get(name, out);
}

absl::Status QueuesService::Update(const v1::UpdateQueueRequest& request, v1::Queue& out) {
  command::UpdateQueue update;
  if (request.update_mask().paths().empty()) {
    return Error(absl::StatusCode::kInvalidArgument, reason::kMissingField, "nothing to change")
        .Field("update_mask")
        .Hint("name at least one field");
  }
  SEER_RETURN_IF_ERROR(runner_.Read([&](const Core& core, Store&) -> absl::Status {
    SEER_ASSIGN_OR_RETURN(const Queue* queue, core.FindQueue(request.queue().name()));
    update.queue = *queue;
    return absl::OkStatus();
  }));
  // What is written rests on what was read: nobody may have changed it between.
  update.changes =
      request.queue().etag().empty() ? update.queue.changes : ChangesOf(request.queue().etag());
  for (const std::string& field : request.update_mask().paths())
    SEER_RETURN_IF_ERROR(SetField(field, request.queue(), update.queue));
  const std::string name = update.queue.name;
  SEER_RETURN_IF_ERROR(runner_.Execute(std::move(update)).status);
  return Get(name, out);
}

absl::Status QueuesService::Delete(const v1::DeleteQueueRequest& request, v1::Queue& out) {
  SEER_RETURN_IF_ERROR(Get(request.name(), out));
  return runner_.Execute(command::DeleteQueue{request.name(), ChangesOf(request.etag())}).status;
}

grpc::Status QueuesService::CreateQueue(grpc::ServerContext*, const v1::CreateQueueRequest* request,
                                        v1::Queue* out) {
  return ToGrpc(Create(request->queue(), *out));
}
grpc::Status QueuesService::GetQueue(grpc::ServerContext*, const v1::GetQueueRequest* request,
                                     v1::Queue* out) {
  return ToGrpc(Get(request->name(), *out));
}
grpc::Status QueuesService::ListQueues(grpc::ServerContext*, const v1::ListQueuesRequest* request,
                                       v1::ListQueuesResponse* out) {
  return ToGrpc(List(*request, *out));
}
grpc::Status QueuesService::UpdateQueue(grpc::ServerContext*, const v1::UpdateQueueRequest* request,
                                        v1::Queue* out) {
  return ToGrpc(Update(*request, *out));
}
grpc::Status QueuesService::DeleteQueue(grpc::ServerContext*, const v1::DeleteQueueRequest* request,
                                        v1::Queue* out) {
  return ToGrpc(Delete(*request, *out));
}

}  // namespace seer::coordinator
