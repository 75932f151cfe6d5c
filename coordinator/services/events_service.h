// seer.v1.Events: the event log as a stream.
// Thread-safe; calls block a thread of the server's pool.
#pragma once

#include "coordinator/services/change_feed.h"
#include "coordinator/services/core_runner.h"
#include "seer/v1/event_log.grpc.pb.h"

namespace seer::coordinator {

// Of ChangeFeed: notified after every event. No job has this id.
inline constexpr char kAnyEvent[] = "";

class EventsService final : public v1::Events::Service {
 public:
  // Both must outlive the service.
  EventsService(CoreRunner& runner, ChangeFeed& feed) : runner_(runner), feed_(feed) {}

  grpc::Status WatchEvents(grpc::ServerContext*, const v1::WatchEventsRequest*,
                           grpc::ServerWriter<v1::Event>*) override;

 private:
  absl::Status Watch(grpc::ServerContext& context, const v1::WatchEventsRequest& request,
                     grpc::ServerWriter<v1::Event>& writer);

  CoreRunner& runner_;
  ChangeFeed& feed_;
};

}  // namespace seer::coordinator
