// Records of schedules and sweeps, which jobs come from.
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "coordinator/core/cron.h"
#include "coordinator/store/record_json.h"
#include "coordinator/store/record_parts.h"

namespace seer::coordinator {

using nlohmann::json;

std::string ToJson(const JobSchedule& s) {
  return Dump({{"name", s.name},
               {"cron", s.cron},
               {"overlap", static_cast<int>(s.overlap)},
               {"suspended", s.suspended},
               {"since_us", Micros(s.since)},
               {"last_us", Micros(s.last)},
               {"last_job", s.last_job},
               {"last_message", s.last_message},
               {"changes", s.changes}});
}

absl::StatusOr<JobSchedule> ScheduleFromJson(const std::string& text) {
  try {
    const json in = json::parse(text);
    JobSchedule s;
    s.name = in.at("name");
    s.cron = in.at("cron");
    if (const auto cron = Cron::Parse(s.cron); !cron.ok())
      throw std::out_of_range(std::string(cron.status().message()));
    s.overlap = EnumFrom(in.at("overlap"), Overlap::kSkip, Overlap::kReplace);
    s.suspended = in.at("suspended");
    s.since = FromMicros(in.at("since_us"));
    s.last = FromMicros(in.at("last_us"));
    s.last_job = in.at("last_job");
    s.last_message = in.at("last_message");
    s.changes = in.at("changes");
    return s;
  } catch (const std::exception& error) {
    return Corrupt("schedule", error);
  }
}

std::string ToJson(const Sweep& s) {
  json made = json::array();
  for (const SweepTrialRecord& trial : s.made) made.push_back({trial.job, trial.message});
  return Dump({{"name", s.name},
               {"id", s.id},
               {"trials", s.trials},
               {"parallel", s.parallel},
               {"budget_device_seconds", s.budget_device_seconds},
               {"state", static_cast<int>(s.state)},
               {"message", s.message},
               {"created_us", Micros(s.created)},
               {"ended_us", Micros(s.ended)},
               {"made", made}});
}

absl::StatusOr<Sweep> SweepFromJson(const std::string& text) {
  try {
    const json in = json::parse(text);
    Sweep s;
    s.name = in.at("name");
    s.id = in.at("id");
    s.trials = in.at("trials");
    s.parallel = in.at("parallel");
    s.budget_device_seconds = Number(in.at("budget_device_seconds"));
    s.state = EnumFrom(in.at("state"), SweepState::kRunning, SweepState::kCancelled);
    s.message = in.at("message");
    s.created = FromMicros(in.at("created_us"));
    s.ended = FromMicros(in.at("ended_us"));
    for (const json& trial : in.at("made")) s.made.push_back({trial.at(0), trial.at(1)});
    return s;
  } catch (const std::exception& error) {
    return Corrupt("sweep", error);
  }
}

}  // namespace seer::coordinator
