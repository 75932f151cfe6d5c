// Spans of calls, by the names and attributes of OpenTelemetry's conventions for RPC, and their
// trace in the metadata: one place for clients and one for servers. A stream is one span.
#pragma once

#include <memory>
#include <string>
#include <vector>

namespace grpc::experimental {
class ClientInterceptorFactoryInterface;
class ServerInterceptorFactoryInterface;
}  // namespace grpc::experimental

namespace seer {

// Calls of a channel to `addresses`, "host:port", get a span within the context of the thread that
// makes them. Without one they are no part of any trace, and the server is told so.
std::unique_ptr<grpc::experimental::ClientInterceptorFactoryInterface> TracedCalls(
    const std::vector<std::string>& addresses);

// Calls to a server get a span within the trace that they bring, or begin one; but not those that
// bring none and are made again and again: of seer.internal, health and reflection. It is the
// handler's thread's context while that runs, unless it is one of callbacks.
std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface> TracedHandlers();

}  // namespace seer
