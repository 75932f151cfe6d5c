// What every call passes before its handler runs: who it is from, and whether they may.
#pragma once

#include <memory>
#include <string>

#include "absl/status/status.h"

namespace google::protobuf {
class Message;
}
namespace grpc {
class Service;
class ServerContextBase;
class Status;
}  // namespace grpc

namespace seer {

struct IncomingCall {
  std::string method;  // "seer.v1.Jobs/CreateJob"
  const grpc::ServerContextBase& context;
  const google::protobuf::Message* request;  // nullptr: the call is a stream of them
};

// Thread-safe; on the threads of calls. Begin comes first; of a call that it let in and that brings
// one request, then Answered with its status, and End. Of a stream both ways there is Begin alone.
class CallGuard {
 public:
  virtual ~CallGuard() = default;
  // An error is the call's answer: its handler does not run.
  virtual absl::Status Begin(const IncomingCall& call) = 0;
  // By a handler that reads the one request itself, of a call that Begin let in without it: an
  // error is the call's answer.
  virtual absl::Status CheckRead(const IncomingCall& call) = 0;
  // Before the status is sent; also of calls that it does not know.
  virtual void Answered(const grpc::ServerContextBase& context, const grpc::Status& status) = 0;
  virtual void End(const grpc::ServerContextBase& context) = 0;
};

// `service`, whose full name in the API is `name`, behind `guard`: the same methods, in the same
// way. Both must outlive it. `streamed`: the method that is marked as streamed, so that its handler
// reads the request itself; empty: none. Of its calls there is Begin without the request, and the
// handler says CheckRead.
std::unique_ptr<grpc::Service> MakeGuardedService(grpc::Service& service, const std::string& name,
                                                  const std::string& streamed, CallGuard& guard);

}  // namespace seer
