#include "coordinator/services/profiles_service.h"

#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/rpc/status_grpc.h"
#include "coordinator/services/convert.h"

namespace seer::coordinator {
namespace {

// How soon a watcher that hung up is noticed.
constexpr absl::Duration kCancelPoll = absl::Seconds(1);

bool HasEnded(const Profile& profile) {
  return profile.state == ProfileState::kDone || profile.state == ProfileState::kFailed;
}

absl::Status HungUp() { return absl::CancelledError("the watcher hung up"); }

absl::Status SendTraces(const Profile& profile,
                        grpc::ServerWriter<v1::WatchProfileResponse>& writer) {
  for (const auto& [rank, bytes] : profile.traces) {
    v1::WatchProfileResponse response;
    v1::RankTrace& trace = *response.mutable_trace();
    if (!trace.ParseFromString(*bytes)) {  // it was looked at when it came
      return Error(absl::StatusCode::kInternal, reason::kInternal,
                   absl::StrCat("the trace of rank ", rank, " cannot be read"));
    }
    trace.set_rank(rank);
    trace.set_worker(absl::StrCat("workers/", profile.workers[static_cast<size_t>(rank)]));
    if (!writer.Write(response)) return HungUp();
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ProfilesService::Create(const v1::CreateProfileRequest& request, v1::Profile& out) {
  const Reply reply =
      runner_.Execute(command::CreateProfile{request.job(), request.steps(), request.request_id()});
  SEER_RETURN_IF_ERROR(reply.status);
  return runner_.Read([&](const Core& core, Store&) -> absl::Status {
    SEER_ASSIGN_OR_RETURN(
        const Profile* profile,
        core.FindProfile(absl::StrCat("jobs/", reply.job, "/profiles/", reply.profile)));
    out = ToProto(*profile, core);
    return absl::OkStatus();
  });
}

absl::Status ProfilesService::Watch(grpc::ServerContext& context, const std::string& name,
                                    grpc::ServerWriter<v1::WatchProfileResponse>& writer) {
  while (true) {
    Profile profile;
    uint64_t seen = 0;
    v1::WatchProfileResponse response;
    SEER_RETURN_IF_ERROR(runner_.Read([&](const Core& core, Store&) -> absl::Status {
      SEER_ASSIGN_OR_RETURN(const Profile* found, core.FindProfile(name));
      profile = *found;
      seen = feed_.Version(profile.job);  // changes are told on this thread
      *response.mutable_profile() = ToProto(profile, core);
      return absl::OkStatus();
    }));
    if (!writer.Write(response)) return HungUp();
    if (HasEnded(profile)) return SendTraces(profile, writer);
    while (feed_.Version(profile.job) == seen) {
      if (feed_.stopped()) {
        return Error(absl::StatusCode::kUnavailable, reason::kShuttingDown,
                     "the coordinator is shutting down, and its profiles end with it")
            .Hint("the job goes on; ask for another profile in a moment");
      }
      if (context.IsCancelled()) return HungUp();
      feed_.Wait(profile.job, seen, kCancelPoll);
    }
  }
}

grpc::Status ProfilesService::CreateProfile(grpc::ServerContext*,
                                            const v1::CreateProfileRequest* request,
                                            v1::Profile* out) {
  return ToGrpc(Create(*request, *out));
}
grpc::Status ProfilesService::WatchProfile(grpc::ServerContext* context,
                                           const v1::WatchProfileRequest* request,
                                           grpc::ServerWriter<v1::WatchProfileResponse>* writer) {
  return ToGrpc(Watch(*context, request->name(), *writer));
}

}  // namespace seer::coordinator
