#include "coordinator/services/checkpoints_service.h"

#include <algorithm>
#include <limits>
#include <map>
#include <set>
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

absl::Status CheckpointsService::Get(const std::string& name, v1::Checkpoint& out) {
  return runner_.Read([&](const Core& core, Store&) -> absl::Status {
    SEER_ASSIGN_OR_RETURN(const Checkpoint* checkpoint, core.FindCheckpoint(name));
    const auto retention = core.Retention({checkpoint->job});
    out = ToProto(*checkpoint, retention.at({checkpoint->job, checkpoint->step}), storage_uri_);
    return absl::OkStatus();
  });
}

absl::Status CheckpointsService::Unpin(const std::string& name, v1::Checkpoint& out) {
  SEER_RETURN_IF_ERROR(Get(name, out));  // it may be gone afterwards
  SEER_RETURN_IF_ERROR(runner_.Execute(command::UnpinCheckpoint{name}).status);
  out.clear_pin();
  const absl::Status kept = Get(out.name(), out);
  if (!absl::IsNotFound(kept)) return kept;
  out.set_keep_reason("");
  return absl::OkStatus();
}

absl::Status CheckpointsService::Prune(const v1::PruneCheckpointsRequest& request,
                                       v1::PruneCheckpointsResponse& out) {
  command::PruneCheckpoints prune;
  prune.job = request.parent();
  if (request.has_keep_last()) prune.keep_last = request.keep_last();
  if (request.has_keep_every()) prune.keep_every = request.keep_every();
  if (request.has_keep_best()) prune.keep_best = request.keep_best();
  std::map<CheckpointKey, RetentionDecision> decided;
  std::map<CheckpointKey, int64_t> sizes;
  const auto plan = [&](const Core& core, Store&) -> absl::Status {
    SEER_ASSIGN_OR_RETURN(decided, core.PlanPrune(prune));
    for (const auto& [key, decision] : decided) sizes[key] = SizeBytes(core.checkpoints().at(key));
    return absl::OkStatus();
  };
  SEER_RETURN_IF_ERROR(runner_.Read(plan));
  if (!request.dry_run()) {
    Reply reply = runner_.Execute(prune);
    SEER_RETURN_IF_ERROR(reply.status);
    decided = std::move(reply.retention);
  }
  for (auto it = decided.rbegin(); it != decided.rend(); ++it) {
    auto* const to = out.add_checkpoints();
    to->set_name(CheckpointName(it->first));
    to->set_deleted(!it->second.keep);
    to->set_reason(it->second.reason);
    to->set_size_bytes(sizes[it->first]);
  }
  return absl::OkStatus();
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
    const size_t shown = std::min(checkpoints.size(), static_cast<size_t>(size));
    std::set<std::string> jobs;
    for (size_t i = 0; i < shown; ++i) jobs.insert(checkpoints[i]->job);
    const auto retention = core.Retention(jobs);
    for (size_t i = 0; i < shown; ++i) {
      const Checkpoint& checkpoint = *checkpoints[i];
      *out.add_checkpoints() =
          ToProto(checkpoint, retention.at({checkpoint.job, checkpoint.step}), storage_uri_);
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
  return Get(name, out);
}

grpc::Status CheckpointsService::GetCheckpoint(grpc::ServerContext*,
                                               const v1::GetCheckpointRequest* request,
                                               v1::Checkpoint* out) {
  return ToGrpc(Get(request->name(), *out));
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

grpc::Status CheckpointsService::PinCheckpoint(grpc::ServerContext*,
                                               const v1::PinCheckpointRequest* request,
                                               v1::Checkpoint* out) {
  const Reply reply =
      runner_.Execute(command::PinCheckpoint{request->name(), request->user(), request->reason()});
  return ToGrpc(reply.status.ok() ? Get(request->name(), *out) : reply.status);
}
grpc::Status CheckpointsService::UnpinCheckpoint(grpc::ServerContext*,
                                                 const v1::UnpinCheckpointRequest* request,
                                                 v1::Checkpoint* out) {
  return ToGrpc(Unpin(request->name(), *out));
}
grpc::Status CheckpointsService::PruneCheckpoints(grpc::ServerContext*,
                                                  const v1::PruneCheckpointsRequest* request,
                                                  v1::PruneCheckpointsResponse* out) {
  return ToGrpc(Prune(*request, *out));
}

}  // namespace seer::coordinator
