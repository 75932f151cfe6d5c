#include "worker/agent/messages.h"

#include "worker/agent/text.h"

namespace seer::worker {
namespace {

using internal::v1::AgentMessage;
using internal::v1::RankReport;

constexpr size_t kMaxReasonBytes = 200, kMaxMessageBytes = 2000;

template <typename Message>
void SetRank(const Assignment& assignment, Message& message) {
  message.set_attempt_id(assignment.attempt_id);
  message.set_job(assignment.job);
  message.set_rank(assignment.rank);
}

}  // namespace

Assignment FromProto(const internal::v1::Assign& assign) {
  return {assign.attempt_id(), assign.job(), assign.attempt(), assign.rank()};
}

absl::Duration FromProto(const google::protobuf::Duration& duration) {
  return absl::Seconds(duration.seconds()) + absl::Nanoseconds(duration.nanos());
}

AgentMessage HeartbeatOf(const AssignmentTable& table) {
  AgentMessage message;
  auto& heartbeat = *message.mutable_heartbeat();
  for (const auto& [key, entry] : table.entries())
    SetRank(entry.assignment, *heartbeat.add_running());
  return message;
}

void AddRunning(const AssignmentTable& table, internal::v1::Hello& hello) {
  for (const auto& [key, entry] : table.entries()) SetRank(entry.assignment, *hello.add_running());
}

AgentMessage StartedReport(const Assignment& assignment) {
  AgentMessage message;
  SetRank(assignment, *message.mutable_rank());
  message.mutable_rank()->set_state(RankReport::STATE_STARTED);
  return message;
}

AgentMessage ExitReport(const Assignment& assignment, const RankExit& exit) {
  AgentMessage message;
  auto& report = *message.mutable_rank();
  SetRank(assignment, report);
  report.set_state(RankReport::STATE_EXITED);
  report.set_exit_code(exit.exit_code);
  report.set_reason(CleanText(exit.reason, kMaxReasonBytes));
  report.set_message(CleanText(exit.message, kMaxMessageBytes));
  for (const std::string& line : exit.last_lines) report.add_last_lines(CleanText(line));
  report.set_oom_killed(exit.oom_killed);
  report.set_prompted(exit.prompted);
  report.set_device_fault(exit.device_fault);
  return message;
}

}  // namespace seer::worker
