// Which HTTP verb and path is which method of the public services: one table. Thread-safe.
#pragma once

#include <map>
#include <span>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace google::protobuf {
class MethodDescriptor;
}

namespace seer {

// As google.api.http would say it in the proto.
struct Route {
  absl::string_view rpc;   // "seer.v1.Jobs.PauseJob"
  absl::string_view verb;  // "POST"
  absl::string_view path;  // "/v1/{name=jobs/*}:pause"
  absl::string_view body;  // the request's field that it is; "*": all of it; "": there is none
  // Of a stream that goes on where a reader stopped: the field of the request that takes the number
  // or position of the last message, and the field of a message that has it.
  absl::string_view resume_field = "";
  absl::string_view number_field = "";
};

// What has no path, and why.
struct NoRoute {
  absl::string_view rpc;
  absl::string_view why;
};

std::span<const Route> Routes();
std::span<const NoRoute> NotRouted();
// The method that the route calls.
const google::protobuf::MethodDescriptor& MethodOf(const Route& route);
// Its service is the data service's, not the coordinator's.
bool OfDataService(const google::protobuf::MethodDescriptor& method);

struct Match {
  const Route* route = nullptr;                  // nullptr: none
  std::map<std::string, std::string> variables;  // field path -> value: "name" -> "jobs/ab12"
  std::vector<std::string> verbs;  // without a route: the path has these; none: no such path
};
// `path` as sent: percent signs are decoded, a segment at a time.
Match FindRoute(absl::string_view verb, absl::string_view path);

// "/v1/{name=jobs/*}:pause" -> "/v1/jobs/{job}:pause", as OpenAPI writes it, and what stands in it.
struct PathForm {
  std::string path;
  std::vector<std::string> variables;  // "job"
};
PathForm ReadablePath(const Route& route);

// "%2F" -> "/"; a sign without two digits stays.
std::string PercentDecoded(absl::string_view text);

}  // namespace seer
