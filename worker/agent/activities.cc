#include "worker/agent/activities.h"

#include <algorithm>
#include <fstream>
#include <sstream>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/status_macros.h"

namespace seer::worker {
namespace {

using internal::v1::RankActivities;

constexpr size_t kEventsInALine = 12;

std::string Seconds(absl::Duration time) {
  return absl::FormatDuration(absl::Trunc(time, absl::Milliseconds(1)));
}

// "compute (copies the state)" or "collective (all-reduce 812 of gradients)".
std::string DoingText(const char* doing, const std::string& detail) {
  return detail.empty() ? doing : absl::StrCat(doing, " (", detail, ")");
}

void SetActivity(const FlightView& view, absl::Duration now, RankActivities::RankActivity& out) {
  out.set_step(view.step);
  out.set_steps_done(view.steps_done);
  out.set_process_state(ProcessState(view.pid));
  // 't': by a debugger.
  const bool stopped = out.process_state() == "T" || out.process_state() == "t";
  out.set_doing(stopped ? "stopped" : DoingName(view.doing));
  out.set_detail(stopped ? absl::StrCat("in ", DoingText(DoingName(view.doing), view.detail))
                         : view.detail);
  out.set_seconds(std::max(absl::ToDoubleSeconds(now - view.since), 0.0));
  out.set_input_seconds(view.split.input_seconds);
  out.set_host_seconds(view.split.host_seconds);
  out.set_compute_seconds(view.split.compute_seconds);
  out.set_wait_seconds(view.split.wait_seconds);
  for (const FlightView::Group& group : view.groups) {
    RankActivities::Group& to = *out.add_groups();
    to.set_name(group.name);
    to.set_entered(group.entered);
    to.set_completed(group.completed);
    to.set_operation(CollectiveName(group.newest));
    to.set_bytes(group.bytes);
    to.set_first_rank(group.first_rank);
    to.set_ranks(group.ranks);
  }
}

std::string EventText(const FlightView& view, const FlightView::Event& event) {
  if (event.kind == FlightView::EventKind::kBegan) {
    return DoingText(DoingName(event.doing), DoingWhere(event.doing));
  }
  const auto group = static_cast<size_t>(event.group);
  return absl::StrCat(event.kind == FlightView::EventKind::kEntered ? "entered " : "completed ",
                      CollectiveName(event.collective), " ", event.number, " of ",
                      group < view.groups.size() ? view.groups[group].name : "");
}

}  // namespace

std::string ProcessState(int pid) {
  std::stringstream text;
  text << std::ifstream(absl::StrCat("/proc/", pid, "/stat")).rdbuf();
  // "PID (NAME) S ...": the name may hold anything.
  const std::string stat = text.str();
  const size_t end = stat.rfind(") ");
  return end == std::string::npos ? "" : stat.substr(end + 2, 1);
}

absl::StatusOr<std::string> Activities::Watch(int64_t key) {
  SEER_ASSIGN_OR_RETURN(std::unique_ptr<FlightMemory> memory, FlightMemory::Create());
  const std::string path = memory->path();
  memories_[key] = std::move(memory);
  return path;
}

internal::v1::AgentMessage Activities::Report(const AssignmentTable& table, absl::Duration now,
                                              std::optional<int64_t> attempt_id) const {
  internal::v1::AgentMessage message;
  RankActivities& activities = *message.mutable_activities();
  for (const auto& [key, entry] : table.entries()) {
    if (entry.exit || (attempt_id && entry.assignment.attempt_id != *attempt_id)) continue;
    const auto memory = memories_.find(key);
    if (memory == memories_.end()) continue;
    const std::optional<FlightView> view = memory->second->Read();
    if (!view) continue;
    RankActivities::RankActivity& out = *activities.add_ranks();
    out.set_attempt_id(entry.assignment.attempt_id);
    out.set_job(entry.assignment.job);
    out.set_rank(entry.assignment.rank);
    SetActivity(*view, now, out);
  }
  return message;
}

std::string Activities::LastEvents(int64_t key, absl::Duration now) const {
  const auto memory = memories_.find(key);
  const std::optional<FlightView> view =
      memory == memories_.end() ? std::nullopt : memory->second->Read();
  if (!view) return "";
  std::vector<std::string> parts;
  const size_t count = std::min(view->events.size(), kEventsInALine);
  for (size_t i = view->events.size() - count; i < view->events.size(); ++i) {
    const FlightView::Event& event = view->events[i];
    parts.push_back(absl::StrCat(EventText(*view, event), " ", Seconds(now - event.at), " ago"));
  }
  return absl::StrCat("flight recorder: step ", view->step, ", ",
                      DoingText(DoingName(view->doing), view->detail), " for ",
                      Seconds(now - view->since), "; before: ", absl::StrJoin(parts, ", "));
}

}  // namespace seer::worker
