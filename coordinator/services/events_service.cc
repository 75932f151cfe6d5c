#include "coordinator/services/events_service.h"

#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/rpc/status_grpc.h"
#include "coordinator/services/convert.h"
#include "coordinator/services/stream_begin.h"

namespace seer::coordinator {
namespace {

constexpr int kEventsAtOnce = 500;
constexpr int kMostNewest = 10000;
// How soon a watcher that hung up is noticed.
constexpr absl::Duration kCancelPoll = absl::Seconds(1);

absl::Status Check(const v1::WatchEventsRequest& request) {
  const auto out_of_range = [](const char* field, const std::string& text) {
    return Error(absl::StatusCode::kInvalidArgument, reason::kOutOfRange, text)
        .Field(field)
        .Hint("say the number of the last event that you have, or how many of the newest to send");
  };
  if (request.after_number() < 0)
    return out_of_range("after_number", absl::StrCat("after_number is ", request.after_number(),
                                                     ", must be at least 0"));
  if (request.newest() < 0 || request.newest() > kMostNewest)
    return out_of_range("newest", absl::StrCat("newest is ", request.newest(),
                                               ", must be from 0 to ", kMostNewest));
  return absl::OkStatus();
}

}  // namespace

absl::Status EventsService::Watch(grpc::ServerContext& context,
                                  const v1::WatchEventsRequest& request,
                                  grpc::ServerWriter<v1::Event>& writer) {
  SEER_RETURN_IF_ERROR(Check(request));
  std::string job;  // its id: a name may come to mean a newer job
  int64_t after = request.after_number();
  SEER_RETURN_IF_ERROR(runner_.Read([&](const Core& core, Store&) -> absl::Status {
    if (!request.job().empty()) {
      SEER_ASSIGN_OR_RETURN(const Job* found, core.Find(request.job()));
      job = found->id;
    }
    if (!request.has_after_number())
      after = std::max<int64_t>(0, core.last_event() - request.newest());
    return request.has_after_number() ? core.CheckEventsAfter(after) : absl::OkStatus();
  }));
  BeginStream(context, writer);
  while (true) {
    const uint64_t seen = feed_.Version(kAnyEvent);
    std::vector<Event> events;
    SEER_RETURN_IF_ERROR(runner_.Read([&](const Core& core, Store& store) -> absl::Status {
      SEER_RETURN_IF_ERROR(core.CheckEventsAfter(after));
      SEER_ASSIGN_OR_RETURN(events, store.Events(job, after, kEventsAtOnce));
      // A job for which nothing happens for long misses nothing.
      after = events.empty() ? core.last_event() : events.back().number;
      return absl::OkStatus();
    }));
    for (const Event& event : events) {
      if (!writer.Write(ToProto(event))) return absl::CancelledError("the watcher hung up");
    }
    if (!events.empty()) continue;
    if (request.until_now()) return absl::OkStatus();
    while (feed_.Version(kAnyEvent) == seen) {
      if (feed_.stopped()) {
        return Error(absl::StatusCode::kUnavailable, reason::kShuttingDown,
                     "the coordinator is shutting down")
            .Hint("watch again in a moment, from the last event that came");
      }
      if (context.IsCancelled()) return absl::CancelledError("the watcher hung up");
      feed_.Wait(kAnyEvent, seen, kCancelPoll);
    }
  }
}

grpc::Status EventsService::WatchEvents(grpc::ServerContext* context,
                                        const v1::WatchEventsRequest* request,
                                        grpc::ServerWriter<v1::Event>* writer) {
  return ToGrpc(Watch(*context, *request, *writer));
}

}  // namespace seer::coordinator
