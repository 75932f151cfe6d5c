#include "coordinator/store/record_json.h"

#include <nlohmann/json.hpp>
#include <stdexcept>

#include "coordinator/core/failure.h"
#include "coordinator/core/job_states.h"
#include "coordinator/store/record_parts.h"

namespace seer::coordinator {
namespace {

using nlohmann::json;

FailureClass FailureFrom(const json& in) {
  return EnumFrom(in, FailureClass::kNone, FailureClass::kUnknown);
}

json AttemptJson(const Attempt& attempt) {
  json ranks = json::array();
  for (const Rank& rank : attempt.ranks) {
    ranks.push_back({{"worker", rank.worker},
                     {"state", static_cast<int>(rank.state)},
                     {"exit_code", rank.exit_code},
                     {"reason", rank.reason},
                     {"message", rank.message},
                     {"killed", rank.killed},
                     {"failure", static_cast<int>(rank.diagnosis.failure)},
                     {"blame", static_cast<int>(rank.diagnosis.blame)},
                     {"sign", rank.diagnosis.sign},
                     {"exited", rank.exited}});
  }
  return {{"id", attempt.id},
          {"number", attempt.number},
          {"stopping", attempt.stopping},
          {"stop_reason", attempt.stop_reason},
          {"stop_message", attempt.stop_message},
          {"stop_failure", static_cast<int>(attempt.stop_failure)},
          {"stop_sign", attempt.stop_sign},
          {"stop_rank", attempt.stop_rank},
          {"preempted_for", attempt.preempted_for},
          {"drained_from", attempt.drained_from},
          {"resizing", attempt.resizing},
          {"spares", attempt.spares},
          {"holds_since", attempt.holds_since},
          {"pause_after", attempt.pause_after},
          {"started_us", Micros(attempt.started)},
          {"restore_step", attempt.restore_step},
          {"restore_job", attempt.restore_job},
          {"roll_back_to", attempt.roll_back_to.value_or(-1)},
          {"ranks", ranks}};
}

Attempt AttemptFrom(const json& in) {
  Attempt attempt;
  attempt.id = in.at("id");
  attempt.number = in.at("number");
  attempt.stopping = in.at("stopping");
  attempt.stop_reason = in.at("stop_reason");
  attempt.stop_message = in.at("stop_message");
  if (in.contains("stop_failure")) attempt.stop_failure = FailureFrom(in.at("stop_failure"));
  attempt.stop_sign = in.value("stop_sign", "");
  attempt.stop_rank = in.value("stop_rank", -1);
  attempt.preempted_for = in.value("preempted_for", "");
  attempt.drained_from = in.value("drained_from", "");
  attempt.resizing = in.value("resizing", false);
  attempt.spares = in.value("spares", std::vector<std::string>());
  attempt.holds_since = in.value("holds_since", attempt.id);
  attempt.pause_after = in.value("pause_after", false);
  attempt.started = FromMicros(in.value("started_us", int64_t{0}));
  attempt.restore_step = attempt.newest_step = in.at("restore_step");
  attempt.restore_job = in.value("restore_job", "");
  if (const int64_t step = in.value("roll_back_to", int64_t{-1}); step >= 0)
    attempt.roll_back_to = step;
  for (const json& rank : in.at("ranks")) {
    Rank& to = attempt.ranks.emplace_back();
    to.worker = rank.at("worker");
    to.state = EnumFrom(rank.at("state"), RankState::kStarting, RankState::kExited);
    to.exit_code = rank.at("exit_code");
    to.reason = rank.at("reason");
    to.message = rank.at("message");
    to.killed = rank.at("killed");
    if (rank.contains("blame")) {
      to.diagnosis = {FailureFrom(rank.at("failure")),
                      EnumFrom(rank.at("blame"), Blame::kNone, Blame::kFinal), rank.at("sign")};
      to.exited = rank.at("exited");
    } else if (to.state == RankState::kExited) {  // of an earlier version
      to.diagnosis = Diagnose({to.exit_code, to.reason, to.message, {}, false});
    }
  }
  return attempt;
}

// Of an earlier version it has none: what passed since the job's creation is then of its state.
Ledger LedgerFrom(const json& job, absl::Time created) {
  Ledger::Record record;
  record.until = created;
  if (job.contains("ledger")) {
    const json& in = job["ledger"];
    // Reports that were no numbers have been counted once, and are null: they count nothing.
    const auto seconds = [](const json& value) { return value.is_number() ? double{value} : 0.0; };
    const json& shares = in.at("shares");
    for (size_t i = 0; i < record.shares.size(); ++i) record.shares[i] = seconds(shares.at(i));
    record.until = FromMicros(in.at("until_us"));
    record.training = in.at("training");
    record.last = {in.at("step"), seconds(in.at("train_seconds")),
                   seconds(in.at("data_wait_seconds")), seconds(in.at("checkpoint_seconds"))};
  }
  return Ledger::From(record);
}

json HealthRulesJson(const std::vector<HealthRule>& rules) {
  json out = json::array();
  for (const HealthRule& rule : rules) {
    out.push_back({{"name", rule.name},
                   {"signal", static_cast<int>(rule.signal)},
                   {"above", rule.above},
                   {"bound", rule.bound},
                   {"for_steps", rule.for_steps},
                   {"after_step", rule.after_step},
                   {"action", static_cast<int>(rule.action)},
                   {"set", rule.set}});
  }
  return out;
}

std::vector<HealthRule> HealthRulesFrom(const json& in) {
  std::vector<HealthRule> rules;
  for (const json& rule : in) {
    rules.push_back(
        {rule.at("name"),
         EnumFrom(rule.at("signal"), HealthSignal::kLossOverLnK, HealthSignal::kStepSecondsRatio),
         rule.at("above"), Number(rule.at("bound")), rule.at("for_steps"), rule.at("after_step"),
         EnumFrom(rule.at("action"), HealthAction::kAlert, HealthAction::kRollBack),
         rule.at("set")});
  }
  return rules;
}

json FindingsJson(const std::vector<HealthFinding>& findings) {
  json out = json::array();
  for (const HealthFinding& finding : findings) {
    out.push_back({{"rule", finding.rule},
                   {"message", finding.message},
                   {"step", finding.step},
                   {"acted", finding.acted},
                   {"time_us", Micros(finding.time)},
                   {"end_step", finding.end_step}});
  }
  return out;
}

std::vector<HealthFinding> FindingsFrom(const json& in) {
  std::vector<HealthFinding> findings;
  for (const json& finding : in) {
    findings.push_back({finding.at("rule"), finding.at("message"), finding.at("step"),
                        finding.at("acted"), FromMicros(finding.at("time_us")),
                        finding.at("end_step")});
  }
  return findings;
}

json NumbersJson(const JobNumbers& n) {
  json after = json::array();
  for (const After& one : n.after) after.push_back({one.job, one.any_end});
  return {{"after", after},
          {"ranks", n.shape.ranks},
          {"smaller", n.smaller},
          {"spares", n.spares},
          {"group_ranks", n.shape.group_ranks},
          {"within", n.shape.within},
          {"selector", n.shape.selector},
          {"queue", n.queue},
          {"priority", n.priority},
          {"stop_when_preempted", n.stop_when_preempted},
          {"steps", n.steps},
          {"max_restarts", n.max_restarts},
          {"keep_last", n.keep.last},
          {"keep_every", n.keep.every},
          {"keep_best", n.keep.best},
          {"keep_last_when_full", n.keep_last_when_full},
          {"evaluation", n.evaluation},
          {"no_progress_ms", absl::ToInt64Milliseconds(n.no_progress_timeout)},
          {"followed_pool", n.followed_pool},
          {"eval_job", n.eval_job},
          {"eval_step", n.eval_step},
          {"start_job", n.start_job},
          {"start_step", n.start_step},
          {"recipe", n.recipe},
          {"webhooks", n.webhooks},
          {"health", static_cast<int>(n.health)},
          {"health_rules", HealthRulesJson(n.health_rules)},
          {"ln_k", n.ln_k}};
}

JobNumbers NumbersFrom(const json& in) {
  JobNumbers n;
  n.shape.ranks = in.at("ranks");
  n.smaller = in.value("smaller", std::vector<int>());
  n.spares = in.value("spares", 0);
  n.shape.group_ranks = in.value("group_ranks", 1);
  n.shape.within = in.value("within", "");
  n.shape.selector = in.value("selector", Labels());
  n.queue = in.value("queue", kDefaultQueue);
  n.priority = in.value("priority", 0);
  n.stop_when_preempted = in.value("stop_when_preempted", false);
  n.steps = in.at("steps");
  n.max_restarts = in.at("max_restarts");
  n.keep.last = in.at("keep_last");
  n.keep.every = in.value("keep_every", int64_t{0});
  n.keep.best = in.value("keep_best", 0);
  n.keep_last_when_full = in.value("keep_last_when_full", 0);
  n.evaluation = in.at("evaluation");
  n.no_progress_timeout = absl::Milliseconds(in.at("no_progress_ms").get<int64_t>());
  n.followed_pool = in.value("followed_pool", "");
  for (const json& one : in.value("after", json::array()))
    n.after.push_back({one.at(0), one.at(1)});
  n.eval_job = in.at("eval_job");
  n.eval_step = in.at("eval_step");
  n.start_job = in.value("start_job", "");
  n.start_step = in.value("start_step", int64_t{0});
  n.recipe = in.value("recipe", "");
  n.webhooks = in.value("webhooks", false);
  if (!in.contains("health")) return n;
  n.health = EnumFrom(in["health"], HealthMode::kOff, HealthMode::kAct);
  n.health_rules = HealthRulesFrom(in.at("health_rules"));
  n.ln_k = Number(in.at("ln_k"));
  return n;
}

}  // namespace

std::string ToJson(const Job& job) {
  json plan = json::array();
  for (const PlanEntry& entry : job.plan) plan.push_back({entry.first_step, entry.generation});
  json preempted = json::array();
  for (const absl::Time time : job.preempted) preempted.push_back(Micros(time));
  json avoided = json::array();
  for (const Avoided& one : job.avoided) avoided.push_back({one.worker, Micros(one.until)});
  json out = {{"id", job.id},
              {"name", job.name},
              {"numbers", NumbersJson(job.numbers)},
              {"state", static_cast<int>(job.state)},
              {"reason", job.reason},
              {"message", job.message},
              {"created_us", Micros(job.created)},
              {"started_us", Micros(job.started)},
              {"ended_us", Micros(job.ended)},
              {"number", job.number},
              {"queue_number", job.queue_number},
              {"highest_step", job.highest_step},
              {"preemptions", job.preemptions},
              {"preempted_us", preempted},
              {"restart_class", job.restart_class},
              {"plan", plan},
              {"attempts", job.attempts},
              {"restarts", job.restarts},
              {"fruitless", job.fruitless},
              {"same_class", job.same_class},
              {"avoided", avoided},
              {"cancelling", job.cancelling},
              {"resized_us", Micros(job.resized)},
              {"first_loss", job.first_loss},
              {"data_wait_seconds", job.data_wait_seconds},
              {"train_seconds", job.train_seconds},
              {"cancel_reason", job.cancel_reason},
              {"cancel_message", job.cancel_message},
              {"device_seconds", job.device_seconds},
              {"sweep", job.sweep},
              {"schedule", job.schedule},
              {"traceparent", job.traceparent},
              {"changes", job.changes}};
  const Progress& p = job.progress;
  out["progress"] = {{"step", p.step},
                     {"loss", p.loss},
                     {"learning_rate", p.learning_rate},
                     {"images_per_second", p.images_per_second},
                     {"step_seconds", p.step_seconds},
                     {"data_stall_ratio", p.data_stall_ratio},
                     {"prototypes_used_ratio", p.prototypes_used_ratio},
                     {"assignment_entropy_nats", p.assignment_entropy_nats},
                     {"feature_std", p.feature_std},
                     {"gradient_norm", p.gradient_norm},
                     {"skipped_steps", p.skipped_steps},
                     {"updated_us", Micros(p.updated)}};
  if (job.attempt) out["attempt"] = AttemptJson(*job.attempt);
  out["findings"] = FindingsJson(job.findings);
  out["overrides"] = job.overrides;
  out["roll_backs"] = job.roll_backs;
  const Ledger::Record ledger = job.ledger.record();
  out["ledger"] = {{"shares", ledger.shares},
                   {"until_us", Micros(ledger.until)},
                   {"training", ledger.training},
                   {"step", ledger.last.step},
                   {"train_seconds", ledger.last.train_seconds},
                   {"data_wait_seconds", ledger.last.data_wait_seconds},
                   {"checkpoint_seconds", ledger.last.checkpoint_seconds}};
  if (job.kept) {
    out["kept"] = {
        {"workers", job.kept->workers}, {"since", job.kept->since}, {"ranks", job.kept->ranks}};
  }
  if (job.failure) {
    const Failure& f = *job.failure;
    out["failure"] = {{"class", static_cast<int>(f.failure)},
                      {"sign", f.sign},
                      {"message", f.message},
                      {"attempt", f.attempt},
                      {"rank", f.rank},
                      {"worker", f.worker},
                      {"time_us", Micros(f.time)}};
  }
  if (job.eval) {
    json knn = json::array();
    for (const KnnResult& result : job.eval->knn)
      knn.push_back({result.k, result.top1_ratio, result.top5_ratio});
    out["eval"] = {{"knn", knn},
                   {"train_images", job.eval->train_images},
                   {"test_images", job.eval->test_images}};
  }
  return Dump(out);
}

absl::StatusOr<Job> JobFromJson(const std::string& text) {
  try {
    const json in = json::parse(text);
    Job job;
    job.id = in.at("id");
    job.name = in.at("name");
    job.numbers = NumbersFrom(in.at("numbers"));
    job.state = EnumFrom(in.at("state"), JobState::kQueued, JobState::kCancelled);
    job.reason = in.at("reason");
    job.message = in.at("message");
    job.created = FromMicros(in.at("created_us"));
    job.started = FromMicros(in.at("started_us"));
    job.ended = FromMicros(in.at("ended_us"));
    job.number = in.at("number");
    job.queue_number = in.at("queue_number");
    job.highest_step = in.at("highest_step");
    job.preemptions = in.value("preemptions", 0);
    for (const int64_t micros : in.value("preempted_us", std::vector<int64_t>()))
      job.preempted.push_back(FromMicros(micros));
    job.restart_class = in.at("restart_class");
    for (const json& entry : in.at("plan")) job.plan.push_back({entry.at(0), entry.at(1)});
    job.attempts = in.at("attempts");
    job.restarts = in.at("restarts");
    job.fruitless = in.at("fruitless");
    job.same_class = in.value("same_class", 0);
    for (const json& one : in.value("avoided", json::array()))
      job.avoided.push_back({one.at(0), FromMicros(one.at(1))});
    if (in.contains("failure")) {
      const json& f = in["failure"];
      job.failure = Failure{FailureFrom(f.at("class")),
                            f.at("sign"),
                            f.at("message"),
                            f.at("attempt"),
                            f.at("rank"),
                            f.at("worker"),
                            FromMicros(f.at("time_us"))};
    }
    job.cancelling = in.at("cancelling");
    job.first_loss = Number(in.at("first_loss"));
    job.data_wait_seconds = Number(in.at("data_wait_seconds"));
    job.train_seconds = Number(in.at("train_seconds"));
    job.cancel_reason = in.value("cancel_reason", "");
    job.cancel_message = in.value("cancel_message", "cancelled by request");
    job.device_seconds = in.value("device_seconds", 0.0);
    job.sweep = in.value("sweep", "");
    job.schedule = in.value("schedule", "");
    job.traceparent = in.value("traceparent", "");
    job.changes = in.at("changes");
    const json& p = in.at("progress");
    const auto number = [&p](const char* key) { return Number(p.at(key)); };
    job.progress.step = p.at("step");
    job.progress.loss = number("loss");
    job.progress.learning_rate = number("learning_rate");
    job.progress.images_per_second = number("images_per_second");
    job.progress.step_seconds = number("step_seconds");
    job.progress.data_stall_ratio = number("data_stall_ratio");
    job.progress.prototypes_used_ratio = number("prototypes_used_ratio");
    job.progress.assignment_entropy_nats = number("assignment_entropy_nats");
    job.progress.feature_std = number("feature_std");
    job.progress.gradient_norm = number("gradient_norm");
    job.progress.skipped_steps = p.at("skipped_steps");
    job.progress.updated = FromMicros(p.at("updated_us"));
    job.resized = FromMicros(in.value("resized_us", Micros(absl::InfinitePast())));
    if (in.contains("attempt")) job.attempt = AttemptFrom(in["attempt"]);
    job.ledger = LedgerFrom(in, job.created);
    job.findings = FindingsFrom(in.value("findings", json::array()));
    job.overrides = in.value("overrides", job.overrides);
    job.roll_backs = in.value("roll_backs", 0);
    if (in.contains("kept")) {
      const json& kept = in["kept"];
      job.kept = KeptDevices{kept.at("workers"), kept.at("since"), kept.at("ranks"), {}, {}};
    }
    if (job.attempt.has_value() != Active(job.state))
      throw std::out_of_range("its state and its attempt disagree");
    if (in.contains("eval")) {
      EvalResult eval;
      for (const json& knn : in["eval"].at("knn"))
        eval.knn.push_back({knn.at(0), Number(knn.at(1)), Number(knn.at(2))});
      eval.train_images = in["eval"].at("train_images");
      eval.test_images = in["eval"].at("test_images");
      job.eval = std::move(eval);
    }
    return job;
  } catch (const std::exception& error) {
    return Corrupt("job", error);
  }
}

std::string ToJson(const Checkpoint& c) {
  json files = json::array();
  for (const CheckpointFile& file : c.files)
    files.push_back(
        {{"name", file.name}, {"size_bytes", file.size_bytes}, {"sha256", file.sha256}});
  json out = {{"job", c.job},
              {"step", c.step},
              {"attempt", c.attempt},
              {"created_us", Micros(c.created)},
              {"files", files},
              {"marked", c.marked},
              {"deleting", c.deleting},
              {"corrupt", c.corrupt},
              {"generation", c.generation},
              {"recipe", c.recipe},
              {"restored_job", c.restored_job},
              {"restored_step", c.restored_step}};
  if (c.pin)
    out["pin"] = {
        {"user", c.pin->user}, {"reason", c.pin->reason}, {"created_us", Micros(c.pin->created)}};
  return Dump(out);
}

absl::StatusOr<Checkpoint> CheckpointFromJson(const std::string& text) {
  try {
    const json in = json::parse(text);
    Checkpoint c;
    c.job = in.at("job");
    c.step = in.at("step");
    c.attempt = in.at("attempt");
    c.created = FromMicros(in.at("created_us"));
    for (const json& file : in.at("files"))
      c.files.push_back({file.at("name"), file.at("size_bytes"), file.at("sha256")});
    c.marked = in.at("marked");
    c.deleting = in.at("deleting");
    c.corrupt = in.value("corrupt", false);
    c.generation = in.value("generation", int64_t{0});
    c.recipe = in.value("recipe", "");
    c.restored_job = in.value("restored_job", "");
    c.restored_step = in.value("restored_step", int64_t{0});
    if (in.contains("pin")) {
      const json& pin = in["pin"];
      c.pin = Pin{pin.at("user"), pin.at("reason"), FromMicros(pin.at("created_us"))};
    }
    return c;
  } catch (const std::exception& error) {
    return Corrupt("checkpoint", error);
  }
}

std::string ToJson(const Worker& w) {
  json faults = json::array();
  for (const Fault& fault : w.faults)
    faults.push_back({{"time_us", Micros(fault.time)},
                      {"class", static_cast<int>(fault.failure)},
                      {"job", fault.job},
                      {"attempt", fault.attempt},
                      {"message", fault.message}});
  json out = {{"name", w.name},       {"hostname", w.hostname},
              {"address", w.address}, {"device_kind", w.device_kind},
              {"version", w.version}, {"incarnation", w.incarnation},
              {"devices", w.devices}, {"labels", w.labels},
              {"faults", faults},     {"heard_us", Micros(w.heard_time)}};
  if (w.cordon)
    out["cordon"] = {{"reason", w.cordon->reason},
                     {"automatic", w.cordon->automatic},
                     {"draining", w.cordon->draining},
                     {"time_us", Micros(w.cordon->time)}};
  return Dump(out);
}

absl::StatusOr<Worker> WorkerFromJson(const std::string& text) {
  try {
    const json in = json::parse(text);
    Worker w;
    w.name = in.at("name");
    w.hostname = in.at("hostname");
    w.address = in.at("address");
    w.device_kind = in.at("device_kind");
    w.version = in.at("version");
    w.incarnation = in.at("incarnation");
    w.devices = in.at("devices");
    w.labels = in.value("labels", Labels());
    for (const json& fault : in.value("faults", json::array()))
      w.faults.push_back({FromMicros(fault.at("time_us")), FailureFrom(fault.at("class")),
                          fault.at("job"), fault.at("attempt"), fault.at("message")});
    if (in.contains("cordon")) {
      const json& c = in["cordon"];
      w.cordon =
          Cordon{c.at("reason"), c.at("automatic"), c.at("draining"), FromMicros(c.at("time_us"))};
    }
    w.heard_time = FromMicros(in.at("heard_us"));
    return w;
  } catch (const std::exception& error) {
    return Corrupt("worker", error);
  }
}

std::string ToJson(const Queue& q) {
  json out = {{"name", q.name},
              {"weight", q.weight},
              {"max_preemptions_per_hour", q.max_preemptions_per_hour},
              {"preemption_grace_ms", absl::ToInt64Milliseconds(q.preemption_grace)},
              {"changes", q.changes}};
  if (q.quota) out["quota"] = *q.quota;
  if (q.borrow) out["borrow"] = *q.borrow;
  return Dump(out);
}

absl::StatusOr<Queue> QueueFromJson(const std::string& text) {
  try {
    const json in = json::parse(text);
    Queue q;
    q.name = in.at("name");
    q.weight = in.at("weight");
    q.max_preemptions_per_hour = in.at("max_preemptions_per_hour");
    q.preemption_grace = absl::Milliseconds(in.at("preemption_grace_ms").get<int64_t>());
    q.changes = in.at("changes");
    if (in.contains("quota")) q.quota = in["quota"].get<int64_t>();
    if (in.contains("borrow")) q.borrow = in["borrow"].get<int64_t>();
    return q;
  } catch (const std::exception& error) {
    return Corrupt("queue", error);
  }
}

}  // namespace seer::coordinator
