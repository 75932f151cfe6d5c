#include "coordinator/services/checkpoints_service.h"

#include <algorithm>
#include <limits>
#include <tuple>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/rpc/status_grpc.h"
#include "coordinator/services/convert.h"
#include "coordinator/services/page_token.h"

namespace seer::coordinator {
namespace {

// Microseconds, job, step: newest first is this, descending.
using Order = std::tuple<int64_t, std::string, int64_t>;

Order OrderOf(const Checkpoint& c) { return {absl::ToUnixMicros(c.created), c.job, c.step}; }

}  // namespace

absl::StatusOr<Checkpoint> CheckpointsService::Find(const std::string& name) {
  Checkpoint found;
  SEER_RETURN_IF_ERROR(runner_.Read([&](const Core& core, Store&) -> absl::Status {
    SEER_ASSIGN_OR_RETURN(const Checkpoint* checkpoint, core.FindCheckpoint(name));
    found = *checkpoint;
    return absl::OkStatus();
  }));
  return found;
}

absl::Status CheckpointsService::List(const v1::ListCheckpointsRequest& request,
                                      v1::ListCheckpointsResponse& out) {
  SEER_ASSIGN_OR_RETURN(const int size, PageSize(request.page_size(), 100, 1000));
  SEER_ASSIGN_OR_RETURN(const auto token, ReadPageToken("checkpoints", 3, request.page_token()));
  Order below(std::numeric_limits<int64_t>::max(), "", 0);
  if (!token.empty()) {
    std::get<1>(below) = token[1];
    if (!absl::SimpleAtoi(token[0], &std::get<0>(below)) ||
        !absl::SimpleAtoi(token[2], &std::get<2>(below))) {
      return ReadPageToken("checkpoints", 3, "!").status();
    }
  }
  return runner_.Read([&](const Core& core, Store&) -> absl::Status {
    std::string job;
    if (!request.parent().empty()) {
      SEER_ASSIGN_OR_RETURN(const Job* found, core.Find(request.parent()));
      job = found->id;
    }
    std::vector<const Checkpoint*> checkpoints;
    for (const auto& [key, checkpoint] : core.checkpoints()) {
      if (checkpoint.deleting || (!job.empty() && key.first != job) || OrderOf(checkpoint) >= below)
        continue;
      checkpoints.push_back(&checkpoint);
    }
    std::sort(checkpoints.begin(), checkpoints.end(),
              [](const Checkpoint* a, const Checkpoint* b) { return OrderOf(*a) > OrderOf(*b); });
    for (size_t i = 0; i < checkpoints.size() && i < static_cast<size_t>(size); ++i) {
      *out.add_checkpoints() = ToProto(*checkpoints[i], storage_uri_);
    }
    if (checkpoints.size() > static_cast<size_t>(size)) {
      const auto [micros, id, step] = OrderOf(*checkpoints[static_cast<size_t>(size) - 1]);
      out.set_next_page_token(
          MakePageToken("checkpoints", {absl::StrCat(micros), id, absl::StrCat(step)}));
    }
    return absl::OkStatus();
  });
}

absl::Status CheckpointsService::Verify(const grpc::ServerContext& context, const std::string& name,
                                        v1::Checkpoint& out) {
  SEER_ASSIGN_OR_RETURN(const Checkpoint checkpoint, Find(name));
  const absl::Status verified =
      files_.Verify(checkpoint, [&context] { return context.IsCancelled(); });
  if (!verified.ok()) {
    SEER_RETURN_IF_ERROR(Find(name).status());  // retention took it meanwhile: not corrupt, gone
    return verified;
  }
  out = ToProto(checkpoint, storage_uri_);
  return absl::OkStatus();
}

grpc::Status CheckpointsService::GetCheckpoint(grpc::ServerContext*,
                                               const v1::GetCheckpointRequest* request,
                                               v1::Checkpoint* out) {
  const auto checkpoint = Find(request->name());
  if (!checkpoint.ok()) return ToGrpc(checkpoint.status());
  *out = ToProto(*checkpoint, storage_uri_);
  return grpc::Status::OK;
}
grpc::Status CheckpointsService::ListCheckpoints(grpc::ServerContext*,
                                                 const v1::ListCheckpointsRequest* request,
                                                 v1::ListCheckpointsResponse* out) {
  return ToGrpc(List(*request, *out));
}
grpc::Status CheckpointsService::VerifyCheckpoint(grpc::ServerContext* context,
                                                  const v1::VerifyCheckpointRequest* request,
                                                  v1::Checkpoint* out) {
  return ToGrpc(Verify(*context, request->name(), *out));
}

}  // namespace seer::coordinator
