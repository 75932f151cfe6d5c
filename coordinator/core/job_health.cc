// Core's part about health rules: what follows from a signal that is beyond its bound.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "common/base/reasons.h"
#include "coordinator/core/core.h"
#include "coordinator/core/health.h"
#include "coordinator/core/job_states.h"

namespace seer::coordinator {
namespace {

constexpr size_t kMaxFindings = 20;  // a job; the oldest go first
constexpr int kMaxRollBacks = 3;     // a job

std::string SetText(const HealthRule& rule) {
  return rule.set.empty() ? "" : " with " + absl::StrJoin(rule.set, ", ", absl::PairFormatter("="));
}

std::string ActionText(const HealthRule& rule) {
  switch (rule.action) {
    case HealthAction::kPause:
      return "pause the job";
    case HealthAction::kRollBack:
      return absl::StrCat("go back to the checkpoint before", SetText(rule));
    default:
      return "look at it";
  }
}

}  // namespace

void Core::CheckHealth(Job& job, Moment now, Decision& out) {
  const JobNumbers& numbers = job.numbers;
  if (numbers.health == HealthMode::kOff || job.state != JobState::kRunning ||
      job.attempt->stopping)
    return;
  HealthWatch& watch = job.attempt->health;
  const std::vector<size_t> found = Watch(numbers.health_rules, job.progress, numbers.ln_k, watch);
  for (HealthFinding& finding : job.findings) {
    if (finding.end_step > 0 || watch.since.contains(finding.rule)) continue;
    finding.end_step = job.progress.step;
    AddEvent(job, job.attempt->number, "health_ended", "",
             absl::StrCat(finding.rule, ": within its bound again from step ", finding.end_step),
             now, out);
    Changed(job, out);
  }
  for (const size_t i : found) {
    const HealthRule& rule = numbers.health_rules[i];
    const bool known =
        std::any_of(job.findings.begin(), job.findings.end(), [&](const HealthFinding& finding) {
          return finding.rule == rule.name && finding.end_step == 0;
        });
    if (known) continue;
    HealthFinding finding;
    finding.rule = rule.name;
    finding.step = job.progress.step;
    finding.time = now.wall;
    finding.message = absl::StrFormat("%s is %.4g, %s %.4g, for %d steps", SignalName(rule.signal),
                                      SignalOf(rule.signal, job.progress, watch, numbers.ln_k),
                                      rule.above ? "above" : "below", rule.bound,
                                      job.progress.step - watch.since.at(rule.name) + 1);
    const bool acts = numbers.health == HealthMode::kAct && rule.action != HealthAction::kAlert;
    const bool stops = acts && Act(job, rule, finding, now, out);
    if (!acts) {
      absl::StrAppend(&finding.message, "; advice: ", ActionText(rule));
      AddEvent(job, job.attempt->number, "health_alert", std::string(reason::kHealthRule),
               absl::StrCat(rule.name, ": ", finding.message), now, out);
    }
    if (job.findings.size() == kMaxFindings) job.findings.erase(job.findings.begin());
    job.findings.push_back(std::move(finding));
    Changed(job, out);
    if (stops) return;
  }
}

bool Core::Act(Job& job, const HealthRule& rule, HealthFinding& finding, Moment now,
               Decision& out) {
  Attempt& attempt = *job.attempt;
  std::optional<int64_t> target;
  std::string instead;
  if (rule.action == HealthAction::kRollBack) {
    target = 0;
    const int64_t since = attempt.health.since.at(rule.name);
    for (auto it = checkpoints_.lower_bound({job.id, 0});
         it != checkpoints_.end() && it->first.first == job.id && it->first.second < since; ++it) {
      if (!it->second.deleting && !it->second.corrupt) target = it->first.second;
    }
    if (job.roll_backs >= kMaxRollBacks) {
      instead = absl::StrCat("it has gone back ", job.roll_backs, " times already");
    } else if (const absl::Status may = CheckGoBack(job, *target); !may.ok()) {
      instead = std::string(may.message());
    }
    if (!instead.empty()) target.reset();
  }
  finding.acted = true;
  finding.end_step = job.progress.step;
  absl::StrAppend(
      &finding.message,
      target ? absl::StrCat("; goes back to step ", *target, SetText(rule)) : "; pauses");
  if (!instead.empty()) absl::StrAppend(&finding.message, ", as ", instead);
  const std::string message = absl::StrCat(rule.name, ": ", finding.message);
  AddEvent(job, attempt.number, "health_acted", std::string(reason::kHealthRule), message, now,
           out);
  if (!target) {
    ChangeState(job, JobState::kPausing, std::string(reason::kHealthRule),
                absl::StrCat("writing a checkpoint: ", message), now, out);
    TellRanks(job, /*kill=*/false, now, out);
    return true;
  }
  ++job.roll_backs;
  for (const auto& [path, value] : rule.set) job.overrides[path] = value;
  attempt.roll_back_to = target;
  attempt.stop_reason = std::string(reason::kHealthRule);
  attempt.stop_message = message;
  TellRanks(job, /*kill=*/true, now, out);
  return true;
}

std::string Core::RollBack(Job& job, const Attempt& attempt, Moment now, Decision& out) {
  // Somebody may need a newer checkpoint by now.
  const absl::Status gone = GoBack(job, *attempt.roll_back_to, now, out);
  return gone.ok() ? attempt.stop_message
                   : absl::StrCat(attempt.stop_message, "; ", gone.message());
}

void Core::EndRolledBack(Job& job, const Attempt& attempt, Moment now, Decision& out) {
  const std::string why = RollBack(job, attempt, now, out);
  job.restart_class = "health";
  job.not_before = now.steady;
  ChangeState(job, JobState::kRestarting, attempt.stop_reason,
              absl::StrCat(why, "; starts again ", StartText(job)), now, out);
}

}  // namespace seer::coordinator
