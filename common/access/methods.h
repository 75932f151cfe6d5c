// Which role each method of the API needs, and what its request is about: the one table. A test
// walks all services and fails for a method that is not in it.
#pragma once

#include <cstddef>
#include <string>

#include "absl/types/span.h"
#include "common/access/role.h"

namespace google::protobuf {
class Message;
}

namespace seer::access {

enum class About {
  kNothing,  // lists, and what everybody may know
  kCluster,  // machines, tokens, the audit: for roles that are bound to nothing
  kSpec,     // the path leads to a JobSpec: its queue and pools
  kBinding,  // the path leads to a message with the fields `queue` and `pool`
  kQueue,    // from here on the path leads to a name
  kPool,
  kJob,  // also of its checkpoints and profiles
  kSchedule,
  kSweep,
};

struct MethodRule {
  const char* method;  // "seer.v1.Jobs/CreateJob"
  Role least;          // kAdmin for what only workers do
  bool worker;         // kWorker may, too
  bool changes;        // and so is audited, if people call it
  About about;
  const char* path;            // fields from the request on, "queue.name"; empty: none
  size_t max_bytes = 4 << 20;  // of the request
};

absl::Span<const MethodRule> AllMethods();
const MethodRule* FindMethod(const std::string& method);  // nullptr: not in the table

// The text at a path of fields; empty: none of them is set, or it is no text.
std::string TextAt(const google::protobuf::Message& message, const std::string& path);
// The message at a path; nullptr: there is none.
const google::protobuf::Message* MessageAt(const google::protobuf::Message& message,
                                           const std::string& path);
// What a spec (seer.v1.JobSpec) is about: its queue, and the pool if it is one alone.
Target TargetOfSpec(const google::protobuf::Message& spec);

}  // namespace seer::access
