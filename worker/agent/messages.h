// The agent's words on the wire: assignments and exits -> messages, and back. Pure.
#pragma once

#include "absl/time/time.h"
#include "seer/internal/v1/agent.pb.h"
#include "worker/agent/assignment.h"

namespace seer::worker {

Assignment FromProto(const internal::v1::Assign& assign);
absl::Duration FromProto(const google::protobuf::Duration& duration);
internal::v1::AgentMessage HeartbeatOf(const AssignmentTable& table);
void AddRunning(const AssignmentTable& table, internal::v1::Hello& hello);
internal::v1::AgentMessage StartedReport(const Assignment& assignment);
internal::v1::AgentMessage ExitReport(const Assignment& assignment, const RankExit& exit);

}  // namespace seer::worker
