#include "coordinator/store/commit_statements.h"

#include "coordinator/core/job_states.h"
#include "coordinator/store/record_json.h"

namespace seer::coordinator {
namespace {

void AddSources(const Changes& changes, const Core& core, std::vector<SqlStatement>& statements) {
  for (const std::string& name : changes.schedules) {
    const auto it = core.schedules().find(name);
    if (it == core.schedules().end()) continue;
    statements.push_back(
        {"writing a schedule",
         "INSERT INTO schedules (name, spec, record) VALUES ($1, $2, $3) ON CONFLICT "
         "(name) DO UPDATE SET spec = excluded.spec, record = excluded.record",
         {name, SqlBytes{it->second.spec}, ToJson(it->second)}});
  }
  for (const std::string& name : changes.removed_schedules)
    statements.push_back({"removing a schedule", "DELETE FROM schedules WHERE name = $1", {name}});
  for (const std::string& name : changes.sweeps) {
    const Sweep& sweep = core.sweeps().at(name);
    statements.push_back(
        {"writing a sweep",
         "INSERT INTO sweeps (name, definition, record) VALUES ($1, $2, $3) ON CONFLICT "
         "(name) DO UPDATE SET definition = excluded.definition, record = "
         "excluded.record",
         {name, SqlBytes{sweep.definition}, ToJson(sweep)}});
  }
}

// What is no longer kept; of an event that came with the change, too.
void AddForgotten(const Changes& changes, std::vector<SqlStatement>& statements) {
  for (const std::string& id : changes.removed_jobs) {
    statements.push_back({"removing a job", "DELETE FROM jobs WHERE id = $1", {id}});
    statements.push_back({"removing a job's events", "DELETE FROM events WHERE job = $1", {id}});
  }
  for (const std::string& name : changes.removed_sweeps)
    statements.push_back({"removing a sweep", "DELETE FROM sweeps WHERE name = $1", {name}});
  for (const std::string& id : changes.removed_requests)
    statements.push_back({"removing a request", "DELETE FROM requests WHERE id = $1", {id}});
  if (changes.first_event > 0)
    statements.push_back(
        {"removing events", "DELETE FROM events WHERE number < $1", {changes.first_event}});
}

}  // namespace

std::vector<SqlStatement> CommitStatements(const Changes& changes, const Core& core) {
  std::vector<SqlStatement> statements;
  for (const std::string& id : changes.jobs) {
    const Job& job = core.jobs().at(id);
    statements.push_back(
        {"writing a job",
         "INSERT INTO jobs (id, state, spec, record) VALUES ($1, $2, $3, $4) ON CONFLICT "
         "(id) DO UPDATE SET state = excluded.state, spec = excluded.spec, record = "
         "excluded.record",
         {id, StateName(job.state), SqlBytes{job.spec}, ToJson(job)}});
  }
  for (const auto& key : changes.checkpoints) {
    const auto it = core.checkpoints().find(key);
    if (it == core.checkpoints().end()) continue;
    statements.push_back(
        {"writing a checkpoint",
         "INSERT INTO checkpoints (job, step, record) VALUES ($1, $2, $3) ON CONFLICT "
         "(job, step) DO UPDATE SET record = excluded.record",
         {key.first, key.second, ToJson(it->second)}});
  }
  for (const auto& [job, step] : changes.removed_checkpoints) {
    statements.push_back({"removing a checkpoint",
                          "DELETE FROM checkpoints WHERE job = $1 AND step = $2",
                          {job, step}});
  }
  for (const std::string& name : changes.workers) {
    statements.push_back(
        {"writing a worker",
         "INSERT INTO workers (name, record) VALUES ($1, $2) ON CONFLICT (name) DO "
         "UPDATE SET record = excluded.record",
         {name, ToJson(core.workers().at(name))}});
  }
  for (const std::string& name : changes.removed_workers)
    statements.push_back({"removing a worker", "DELETE FROM workers WHERE name = $1", {name}});
  for (const std::string& name : changes.queues) {
    const auto it = core.queues().find(name);
    if (it == core.queues().end()) continue;
    statements.push_back({"writing a queue",
                          "INSERT INTO queues (name, record) VALUES ($1, $2) ON CONFLICT (name) DO "
                          "UPDATE SET record = excluded.record",
                          {name, ToJson(it->second)}});
  }
  for (const std::string& name : changes.removed_queues)
    statements.push_back({"removing a queue", "DELETE FROM queues WHERE name = $1", {name}});
  AddSources(changes, core, statements);
  for (const Event& e : changes.events) {
    statements.push_back(
        {"writing an event",
         "INSERT INTO events (number, time_us, job, attempt, type, from_state, to_state, "
         "reason, message) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT "
         "(number) DO NOTHING",
         {e.number, absl::ToUnixMicros(e.created), e.job, e.attempt, e.type, e.from, e.to, e.reason,
          e.message}});
  }
  for (const Request& request : changes.requests) {
    statements.push_back(
        {"writing a request",
         "INSERT INTO requests (id, job, time_us) VALUES ($1, $2, $3) ON CONFLICT (id) DO "
         "UPDATE SET job = excluded.job, time_us = excluded.time_us",
         {request.id, request.job, absl::ToUnixMicros(request.time)}});
  }
  AddForgotten(changes, statements);
  statements.push_back(
      {"writing counters",
       "INSERT INTO counters (name, value) VALUES ('attempt', $1), ('event', $2), ('first_event', "
       "$3) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
       {core.last_attempt(), core.last_event(), core.first_event()}});
  return statements;
}

}  // namespace seer::coordinator
