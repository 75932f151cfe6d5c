// Tells the caller of a stream that its request was good, before there is a first message: who
// shows the stream on, as the HTTP gateway does, need not wait for one to know it.
#pragma once

#include <grpcpp/grpcpp.h>

namespace seer::coordinator {

inline constexpr char kStreamBegins[] = "seer-stream";

template <typename Message>
void BeginStream(grpc::ServerContext& context, grpc::ServerWriter<Message>& writer) {
  context.AddInitialMetadata(kStreamBegins, "begins");
  writer.SendInitialMetadata();
}

}  // namespace seer::coordinator
