#include "client/diagnosis.h"

#include <google/protobuf/util/json_util.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "client/commands/job.h"
#include "client/output.h"

namespace seer::client {
namespace {

constexpr size_t kMostOfAKind = 3;  // events of one type that are shown, the newest
constexpr size_t kMostLines = 12;

std::string WorkerName(const std::string& name) {
  return std::string(absl::StripPrefix(name, "workers/"));
}

void AddEvents(const Evidence& evidence, const char* type, const char* topic, const char* next_step,
               std::vector<Finding>& findings) {
  std::vector<const v1::Event*> found;
  for (auto event = evidence.events.rbegin();
       event != evidence.events.rend() && found.size() < kMostOfAKind; ++event) {
    if (event->type() == type) found.push_back(&*event);
  }
  for (const v1::Event* event : found) {
    const bool newest = event == found.front();
    findings.push_back({topic,
                        absl::StrCat(FormatTime(event->create_time()), " attempt ",
                                     event->attempt(), ": ", event->message()),
                        newest ? next_step : ""});
  }
}

void AddWorker(const v1::Worker& worker, std::vector<Finding>& findings) {
  const std::string name = WorkerName(worker.name());
  if (worker.state() == v1::WORKER_STATE_LOST)
    findings.push_back({"worker", absl::StrCat(name, " is lost: its lease ran out"),
                        "look whether the machine and its seer-worker run"});
  if (worker.has_cordon())
    findings.push_back({"worker", absl::StrCat(name, " is cordoned: ", worker.cordon().reason()),
                        absl::StrCat("`seer worker uncordon ", name, "`, once it is mended")});
  if (worker.faults().empty()) return;
  const v1::WorkerFault& last = *worker.faults().rbegin();
  findings.push_back({"worker",
                      absl::StrCat(name, " was the cause of ", worker.faults_size(),
                                   worker.faults_size() == 1 ? " failure" : " failures",
                                   " of late, the last: ", last.message()),
                      absl::StrCat("`seer worker describe ", name, "`")});
}

// The rank whose failure was the last, or of a job that runs the one that has done the same for
// longest without waiting for others.
int RankToReadOf(const v1::Job& job) {
  const v1::RankPlacement* longest = nullptr;
  for (const v1::RankPlacement& rank : job.ranks()) {
    if (!rank.has_activity() || rank.activity().doing() == "collective") continue;
    if (longest == nullptr || rank.activity().seconds() > longest->activity().seconds())
      longest = &rank;
  }
  const bool failed_last = job.has_last_failure() &&
                           (longest == nullptr || job.last_failure().attempt() == job.attempt());
  if (failed_last) return job.last_failure().rank();
  return longest == nullptr ? -1 : longest->rank();
}

}  // namespace

std::vector<std::string> WorkersOf(const v1::Job& job) {
  std::set<std::string> workers(job.avoided_workers().begin(), job.avoided_workers().end());
  for (const v1::RankPlacement& rank : job.ranks()) workers.insert(rank.worker());
  if (!job.last_failure().worker().empty()) workers.insert(job.last_failure().worker());
  return {workers.begin(), workers.end()};
}

Diagnosis Diagnose(const Evidence& evidence) {
  const v1::Job& job = evidence.job;
  Diagnosis out;
  std::string state = StateOf(job);
  if (!job.state_reason().empty()) absl::StrAppend(&state, " (", job.state_reason(), ")");
  if (!job.state_message().empty()) absl::StrAppend(&state, ": ", job.state_message());
  out.findings.push_back({"state", state, ""});
  if (job.has_wait() && !job.wait().message().empty())
    out.findings.push_back({"wait", job.wait().message(), ""});
  if (job.has_last_failure()) {
    const v1::Failure& failure = job.last_failure();
    out.findings.push_back(
        {"failure",
         absl::StrCat(FormatTime(failure.time()), " attempt ", failure.attempt(), ", ",
                      absl::AsciiStrToLower(EnumName(v1::FailureClass_Name(failure.failure_class()),
                                                     "FAILURE_CLASS_")),
                      " (", failure.sign(), "): ", failure.message()),
         failure.next_step()});
  }
  AddEvents(evidence, "hang_found", "hang", "", out.findings);
  AddEvents(evidence, "straggler_found", "straggler",
            "compare the worker with its peers: clocks, temperature, what else runs there; "
            "`seer worker cordon` keeps jobs away",
            out.findings);
  for (const v1::HealthFinding& finding : job.findings()) {
    if (finding.end_step() == 0)
      out.findings.push_back({"health", absl::StrCat(finding.rule(), ": ", finding.message()), ""});
  }
  for (const v1::Worker& worker : evidence.workers) AddWorker(worker, out.findings);
  if (!job.storage_warning().empty())
    out.findings.push_back({"storage", job.storage_warning(), ""});
  out.rank = RankToReadOf(job);
  int attempt = 0;  // the newest that the rank wrote in
  for (const v1::LogLine& line : evidence.lines)
    if (line.rank() == out.rank) attempt = std::max(attempt, line.attempt());
  for (const v1::LogLine& line : evidence.lines)
    if (line.rank() == out.rank && line.attempt() == attempt) out.lines.push_back(line);
  if (out.lines.size() > kMostLines)
    out.lines.erase(out.lines.begin(), out.lines.end() - kMostLines);
  return out;
}

std::string DiagnosisJson(const Evidence& evidence, const Diagnosis& diagnosis) {
  using Json = nlohmann::ordered_json;
  std::string text;
  google::protobuf::util::MessageToJsonString(evidence.job, &text);
  const Json job = Json::parse(text);
  Json findings = Json::array(), lines = Json::array();
  for (const Finding& finding : diagnosis.findings) {
    findings.push_back({{"topic", finding.topic}, {"text", finding.text}});
    if (!finding.next_step.empty()) findings.back()["nextStep"] = finding.next_step;
  }
  for (const v1::LogLine& line : diagnosis.lines) lines.push_back(line.text());
  Json out = {{"name", evidence.job.name()},
              {"state", job.value("state", "")},
              {"findings", findings},
              {"ranks", job.value("ranks", Json::array())}};
  if (diagnosis.rank >= 0) out["log"] = {{"rank", diagnosis.rank}, {"lines", lines}};
  return out.dump(2, ' ', false, Json::error_handler_t::replace);
}

}  // namespace seer::client
