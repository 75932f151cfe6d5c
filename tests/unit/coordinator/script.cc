#include "tests/unit/coordinator/script.h"

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/base/check.h"
#include "common/base/error.h"
#include "coordinator/core/data_plan.h"
#include "coordinator/core/job_states.h"

namespace seer::testing {

using namespace coordinator;  // NOLINT: a test of that namespace

namespace {

int64_t Number(const std::map<std::string, std::string>& arguments, const std::string& key,
               int64_t by_default) {
  const auto it = arguments.find(key);
  int64_t value = by_default;
  if (it != arguments.end())
    SEER_CHECK(absl::SimpleAtoi(it->second, &value)) << key << "=" << it->second;
  return value;
}

std::string Text(const std::map<std::string, std::string>& arguments, const std::string& key,
                 const std::string& by_default = "") {
  const auto it = arguments.find(key);
  return it == arguments.end() ? by_default : it->second;
}

Labels ParseLabels(const std::string& text) {
  Labels labels;
  for (absl::string_view part : absl::StrSplit(text, ',', absl::SkipEmpty()))
    labels.insert(absl::StrSplit(part, absl::MaxSplits(':', 1)));
  return labels;
}

RunningRank ParseRank(const std::string& text) {
  const std::vector<std::string> parts = absl::StrSplit(text, ':');
  RunningRank rank;
  SEER_CHECK(parts.size() == 2 && absl::SimpleAtoi(parts[0], &rank.attempt_id) &&
             absl::SimpleAtoi(parts[1], &rank.rank))
      << text;
  return rank;
}

std::vector<RunningRank> ParseRanks(const std::string& text) {
  std::vector<RunningRank> ranks;
  for (absl::string_view part : absl::StrSplit(text, ',', absl::SkipEmpty()))
    ranks.push_back(ParseRank(std::string(part)));
  return ranks;
}

std::vector<PlanEntry> ParsePlan(const std::string& text) {
  std::vector<PlanEntry> plan;
  for (absl::string_view part : absl::StrSplit(text, ',', absl::SkipEmpty())) {
    const std::pair<std::string, std::string> entry = absl::StrSplit(part, ':');
    PlanEntry& to = plan.emplace_back();
    SEER_CHECK(absl::SimpleAtoi(entry.first, &to.first_step) &&
               absl::SimpleAtoi(entry.second, &to.generation))
        << text;
  }
  return plan;
}

}  // namespace

Script::Script()
    : store_(MakeMemoryStore()),
      core_(std::make_unique<Core>(CoreOptions{})),
      now_{absl::FromUnixSeconds(1'000'000), absl::Seconds(1000)} {
  core_->Load(StoredState(), now_);
}

std::string Script::Run(const std::string& text) {
  std::string out;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    if (absl::StartsWith(line, "> ")) {
      absl::StrAppend(&out, line, "\n", Execute(std::string(line.substr(2))));
    } else if (line.empty() || line.front() == '#') {
      absl::StrAppend(&out, line, "\n");
    }  // else an old answer
  }
  absl::StripTrailingAsciiWhitespace(&out);
  return out + "\n";
}

std::string Script::Execute(const std::string& line) {
  const std::vector<std::string> words = absl::StrSplit(line, ' ', absl::SkipEmpty());
  Arguments arguments;
  int position = 0;
  for (size_t i = 1; i < words.size(); ++i) {
    const std::pair<std::string, std::string> pair =
        absl::StrSplit(words[i], absl::MaxSplits('=', 1));
    if (absl::StrContains(words[i], '=')) {
      arguments[pair.first] = pair.second;
    } else {
      arguments[absl::StrCat(position++)] = words[i];
    }
  }
  if (words[0] == "restart") return Restart();
  if (words[0] == "jobs") return Jobs();
  if (words[0] == "checkpoints") return Checkpoints(IdOf(words[1]));
  if (words[0] == "workers") return Workers();
  if (words[0] == "profiles") return Profile(IdOf(words[1]), words[2]);
  if (words[0] == "wait") {
    const absl::Duration by = absl::Seconds(Number(arguments, "0", 1));
    now_.wall += by;
    now_.steady += by;
  }
  return Apply(core_->Step(Parse(words[0], arguments), now_));
}

Command Script::Parse(const std::string& verb, const Arguments& arguments) {
  const std::string first = Text(arguments, "0");
  const auto rank = [&] { return ParseRank(Text(arguments, "1")); };
  const std::string job = verb == "create" ? "" : IdOf(first);
  if (verb == "worker") {
    Worker worker;
    worker.name = first;
    worker.devices = static_cast<int>(Number(arguments, "devices", 1));
    worker.incarnation = Text(arguments, "incarnation", "a");
    worker.device_kind = Text(arguments, "kind", "cpu");
    worker.labels = ParseLabels(Text(arguments, "labels"));
    return command::WorkerHello{worker, ParseRanks(Text(arguments, "running"))};
  }
  if (verb == "beat")
    return command::WorkerHeartbeat{first, ParseRanks(Text(arguments, "running"))};
  if (verb == "gone") return command::WorkerGone{first};
  if (verb == "create") {
    command::CreateJob create;
    create.job.name = first;
    create.job.plan = TrainingPlan(1);
    create.job.numbers.shape.ranks = static_cast<int>(Number(arguments, "ranks", 1));
    for (absl::string_view ranks :
         absl::StrSplit(Text(arguments, "smaller"), ',', absl::SkipEmpty()))
      SEER_CHECK(absl::SimpleAtoi(ranks, &create.job.numbers.smaller.emplace_back())) << ranks;
    create.job.numbers.spares = static_cast<int>(Number(arguments, "spares", 0));
    create.job.numbers.steps = Number(arguments, "steps", 10);
    create.job.numbers.max_restarts = static_cast<int>(Number(arguments, "max_restarts", 10));
    create.job.numbers.keep = {static_cast<int>(Number(arguments, "keep", 3)),
                               Number(arguments, "every", 0),
                               static_cast<int>(Number(arguments, "best", 0))};
    create.job.numbers.keep_last_when_full = static_cast<int>(Number(arguments, "when_full", 0));
    create.job.numbers.followed_pool = Text(arguments, "follows");
    create.job.numbers.queue = Text(arguments, "queue", kDefaultQueue);
    create.job.numbers.priority = static_cast<int>(Number(arguments, "priority", 0));
    create.job.numbers.stop_when_preempted = Text(arguments, "preempted") == "stop";
    create.job.numbers.shape.group_ranks = static_cast<int>(Number(arguments, "group", 1));
    create.job.numbers.shape.within = Text(arguments, "within");
    create.job.numbers.shape.selector = ParseLabels(Text(arguments, "selector"));
    create.job.numbers.no_progress_timeout = absl::Seconds(Number(arguments, "timeout", 600));
    if (const std::string eval = Text(arguments, "eval"); !eval.empty()) {
      create.job.numbers.evaluation = true;
      if (absl::StrContains(eval, '/')) {
        std::tie(create.job.numbers.eval_job, create.job.numbers.eval_step) = KeyOf(eval);
      } else {
        create.job.numbers.eval_job = IdOf(eval);
      }
    }
    create.job.numbers.after = ParseAfter(Text(arguments, "after"), false);
    for (const After& after : ParseAfter(Text(arguments, "after_end"), true))
      create.job.numbers.after.push_back(after);
    if (const std::string from = Text(arguments, "from"); !from.empty())
      std::tie(create.job.numbers.start_job, create.job.numbers.start_step) = KeyOf(from);
    create.request_id = Text(arguments, "request");
    create.id_seed = core_->jobs().size();
    return create;
  }
  if (verb == "queue") {
    Queue queue;
    queue.name = first;
    if (arguments.contains("quota")) queue.quota = Number(arguments, "quota", 0);
    if (arguments.contains("borrow")) queue.borrow = Number(arguments, "borrow", 0);
    queue.weight = static_cast<double>(Number(arguments, "weight", 1));
    queue.max_preemptions_per_hour = static_cast<int>(Number(arguments, "preemptions", 2));
    queue.preemption_grace = absl::Seconds(Number(arguments, "grace", 300));
    if (!core_->queues().contains(first)) return command::CreateQueue{queue};
    return command::UpdateQueue{queue, Number(arguments, "etag", 0)};
  }
  if (verb == "unqueue") return command::DeleteQueue{first, Number(arguments, "etag", 0)};
  if (verb == "pause") return command::PauseJob{first, Text(arguments, "request")};
  if (verb == "set") {
    const Job& known = core_->jobs().at(job);
    command::UpdateJob update{
        first, Number(arguments, "etag", 0), known.spec, known.spec + "x", known.numbers, ""};
    update.numbers.priority =
        static_cast<int>(Number(arguments, "priority", known.numbers.priority));
    update.numbers.keep.last = static_cast<int>(Number(arguments, "keep", known.numbers.keep.last));
    update.numbers.queue = Text(arguments, "queue", known.numbers.queue);
    if (arguments.contains("after"))
      update.numbers.after = ParseAfter(Text(arguments, "after"), false);
    return update;
  }
  if (verb == "resume")
    return command::ResumeJob{first, Text(arguments, "request"), Number(arguments, "step", 0)};
  if (verb == "pin" || verb == "unpin") {
    const auto [id, step] = KeyOf(first);
    const std::string name = absl::StrCat("jobs/", id, "/checkpoints/", step);
    if (verb == "unpin") return command::UnpinCheckpoint{name};
    return command::PinCheckpoint{name, Text(arguments, "user"), Text(arguments, "reason")};
  }
  if (verb == "prune") {
    command::PruneCheckpoints prune;
    prune.job = first;
    if (arguments.contains("last"))
      prune.keep_last = static_cast<int>(Number(arguments, "last", 0));
    if (arguments.contains("every")) prune.keep_every = Number(arguments, "every", 0);
    if (arguments.contains("best"))
      prune.keep_best = static_cast<int>(Number(arguments, "best", 0));
    return prune;
  }
  if (verb == "storage") return command::StorageSpace{Number(arguments, "free", 0), 100};
  if (verb == "cancel") return command::CancelJob{first, Text(arguments, "request")};
  if (verb == "started") return command::RankStarted{first, rank()};
  if (verb == "exited") {
    command::RankExited exited{first, rank(), static_cast<int>(Number(arguments, "code", 0)),
                               Text(arguments, "reason"), Text(arguments, "message")};
    if (arguments.contains("line"))
      exited.lines = {absl::StrReplaceAll(Text(arguments, "line"), {{"_", " "}})};
    exited.oom_killed = Number(arguments, "oom", 0) != 0;
    if (arguments.contains("prompted")) exited.prompted = Number(arguments, "prompted", 0) != 0;
    return exited;
  }
  if (verb == "does") {
    command::RankActivities does{first, {}};
    command::RankActivities::One& one = does.ranks.emplace_back();
    one.rank = rank();
    one.activity.doing = Text(arguments, "2");
    one.activity.seconds = static_cast<double>(Number(arguments, "for", 0));
    one.activity.detail = absl::StrReplaceAll(Text(arguments, "where"), {{"_", " "}});
    one.activity.steps_done = Number(arguments, "done", 0);
    one.activity.compute_seconds = static_cast<double>(Number(arguments, "compute", 0));
    if (const std::string group = Text(arguments, "group"); !group.empty()) {
      const std::vector<std::string> parts = absl::StrSplit(group, ':');
      GroupActivity& to = one.activity.groups.emplace_back();
      to.name = parts.at(0);
      to.operation = "all-reduce";
      SEER_CHECK(absl::SimpleAtoi(parts.at(1), &to.entered) &&
                 absl::SimpleAtoi(parts.at(2), &to.completed));
    }
    return does;
  }
  if (verb == "cordon" || verb == "drain")
    return command::CordonWorker{first, Text(arguments, "reason"), verb == "drain"};
  if (verb == "uncordon") return command::UncordonWorker{first};
  if (verb == "progress") {
    Progress progress;
    progress.step = Number(arguments, "step", 1);
    progress.step_seconds = static_cast<double>(Number(arguments, "seconds", 0));
    return command::ReportProgress{Number(arguments, "attempt", 1),
                                   "jobs/" + job,
                                   progress,
                                   Number(arguments, "profile", 0),
                                   Number(arguments, "first", 0),
                                   ParsePlan(Text(arguments, "plan"))};
  }
  if (verb == "profile")
    return command::CreateProfile{first, static_cast<int>(Number(arguments, "steps", 3)),
                                  Text(arguments, "request")};
  if (verb == "trace") {
    command::ReportProfile report;
    report.attempt_id = Number(arguments, "attempt", 1);
    report.job = "jobs/" + job;
    report.rank = static_cast<int>(Number(arguments, "rank", 0));
    report.profile = Number(arguments, "profile", 0);
    report.first_step = Number(arguments, "first", 4);
    report.trace = std::make_shared<const std::string>(
        static_cast<size_t>(Number(arguments, "bytes", 10)), 'x');
    return report;
  }
  if (verb == "checkpoint") {
    command::ReportCheckpoint report;
    report.attempt_id = Number(arguments, "attempt", 1);
    report.job = "jobs/" + job;
    report.rank = static_cast<int>(Number(arguments, "rank", 0));
    report.world_size = static_cast<int>(Number(arguments, "world", 1));
    report.step = Number(arguments, "step", 1);
    report.file = {Text(arguments, "file", absl::StrCat("rank-", report.rank)), 8,
                   std::string(64, 'a')};
    report.plan = ParsePlan(Text(arguments, "plan"));
    return report;
  }
  if (verb == "eval") {
    EvalResult result;
    result.knn.push_back({20, static_cast<double>(Number(arguments, "top1", 0)) / 100, 1});
    return command::ReportEval{Number(arguments, "attempt", 1), "jobs/" + job, result};
  }
  if (verb == "pool") return command::PoolGeneration{first, Number(arguments, "1", 1)};
  if (verb == "wait") return command::Tick{};
  if (verb == "marked") return command::CommittedMarked{job, Number(arguments, "1", 0)};
  SEER_CHECK(verb == "deleted") << "unknown command " << verb;
  return command::FilesDeleted{job, Number(arguments, "1", 0)};
}

std::string Script::Restart() {
  StoredState state = store_->Load().value();
  core_ = std::make_unique<Core>(CoreOptions{});
  return Apply(core_->Load(std::move(state), now_));
}

std::string Script::Apply(const Decision& decision) {
  SEER_CHECK(store_->Apply(decision.changes, *core_).ok());
  return Print(decision);
}

std::string Script::Print(const Decision& decision) {
  std::string out;
  if (!decision.reply.status.ok()) {
    absl::StrAppend(&out, "  refused ", absl::StatusCodeToString(decision.reply.status.code()), " ",
                    GetErrorDetail(decision.reply.status)->reason, ": ",
                    decision.reply.status.message(), "\n");
  } else if (decision.reply.yes) {
    absl::StrAppend(&out, "  yes\n");
  }
  for (const auto& [key, retention] : decision.reply.retention)
    absl::StrAppend(&out, retention.keep ? "  keep " : "  take ", key.second, ": ",
                    retention.reason, "\n");
  if (decision.reply.profile != 0) {
    absl::StrAppend(&out, "  profile ", decision.reply.profile);
    if (decision.reply.profile_steps != 0)
      absl::StrAppend(&out, ": record ", decision.reply.profile_steps, " steps");
    absl::StrAppend(&out, "\n");
  }
  if (decision.reply.newest_generation != 0)
    absl::StrAppend(&out, "  go on with generation ", decision.reply.newest_generation, "\n");
  for (const Event& event : decision.changes.events) {
    absl::StrAppend(&out, "  event ", event.number, " ", event.job, " ", event.type);
    if (event.attempt > 0) absl::StrAppend(&out, " attempt=", event.attempt);
    if (!event.to.empty()) absl::StrAppend(&out, " ", event.from, "->", event.to);
    if (!event.reason.empty()) absl::StrAppend(&out, " ", event.reason);
    if (!event.message.empty()) absl::StrAppend(&out, ": ", event.message);
    absl::StrAppend(&out, "\n");
  }
  for (const std::string& name : decision.changes.removed_workers)
    absl::StrAppend(&out, "  forget ", name, "\n");
  for (const auto& [job, step] : decision.changes.removed_checkpoints)
    absl::StrAppend(&out, "  forget ", job, "/", step, "\n");
  for (const auto& a : decision.effects.assign)
    absl::StrAppend(&out, "  assign ", a.worker, " ", a.attempt_id, ":", a.rank, "\n");
  for (const auto& i : decision.effects.inspect)
    absl::StrAppend(&out, "  inspect ", i.worker, " ", i.attempt_id, "\n");
  for (const auto& s : decision.effects.stop) {
    absl::StrAppend(&out, s.kill ? "  kill " : "  pause ", s.worker, " ", s.attempt_id);
    if (!s.kill && s.grace != StopRanks().grace)
      absl::StrAppend(&out, " within ", absl::FormatDuration(s.grace));
    absl::StrAppend(&out, "\n");
  }
  for (const auto& [job, step] : decision.effects.mark_committed)
    absl::StrAppend(&out, "  write COMMITTED ", job, "/", step, "\n");
  for (const auto& [job, step] : decision.effects.delete_files)
    absl::StrAppend(&out, "  delete ", job, "/", step, "\n");
  for (const std::string& id : decision.effects.watched) {
    const Job& job = core_->jobs().at(id);
    const Wait wait = core_->WaitOf(job);
    absl::StrAppend(&out, wait.reason == WaitReason::kNone
                              ? absl::StrCat("  tell watchers of ", id, "\n")
                              : absl::StrCat("  ", id, " waits (", WaitReasonName(wait.reason),
                                             "): ", core_->Explain(job, wait), "\n"));
  }
  return WithNames(std::move(out));
}

std::string Script::Jobs() const {
  std::map<int64_t, const Job*> jobs;
  for (const auto& [id, job] : core_->jobs()) jobs[job.number] = &job;
  std::string out;
  for (const auto& [number, job] : jobs) {
    absl::StrAppend(&out, "  ", job->name, " ", StateName(job->state), " attempts=", job->attempts,
                    " restarts=", job->restarts, " checkpoint=", core_->NewestCheckpoint(job->id));
    if (job->plan.size() > 1) {
      absl::StrAppend(&out, " plan=",
                      absl::StrJoin(job->plan, ",", [](std::string* to, const PlanEntry& entry) {
                        absl::StrAppend(to, entry.first_step, ":", entry.generation);
                      }));
    }
    if (job->preemptions > 0) absl::StrAppend(&out, " preemptions=", job->preemptions);
    if (!job->message.empty()) absl::StrAppend(&out, ": ", job->message);
    const Wait wait = core_->WaitOf(*job);
    if (wait.reason != WaitReason::kNone) absl::StrAppend(&out, "; ", core_->Explain(*job, wait));
    absl::StrAppend(&out, "\n");
  }
  return WithNames(std::move(out));
}

std::string Script::Checkpoints(const std::string& job) const {
  std::string out;
  for (const auto& [key, decision] : core_->Retention({job})) {
    const Checkpoint& checkpoint = core_->checkpoints().at(key);
    absl::StrAppend(&out, "  ", key.second, " attempt=", checkpoint.attempt,
                    " generation=", checkpoint.generation);
    if (!checkpoint.restored_job.empty())
      absl::StrAppend(&out, " from=", checkpoint.restored_job, "/", checkpoint.restored_step);
    absl::StrAppend(&out, ": ", decision.reason, "\n");
  }
  return WithNames(std::move(out));
}

std::string Script::Workers() const {
  std::string out;
  for (const auto& [name, worker] : core_->workers()) {
    absl::StrAppend(&out, "  ", name, worker.up ? " up" : " lost",
                    " faults=", worker.faults.size());
    if (worker.cordon)
      absl::StrAppend(&out, worker.cordon->automatic ? " cordoned" : " cordoned by request",
                      worker.cordon->draining ? ", draining: " : ": ", worker.cordon->reason);
    absl::StrAppend(&out, "\n");
  }
  return WithNames(std::move(out));
}

std::string Script::Profile(const std::string& job, const std::string& number) const {
  constexpr const char* kStates[] = {"", "REQUESTED", "RECORDING", "DONE", "FAILED"};
  const auto found = core_->FindProfile(absl::StrCat("jobs/", job, "/profiles/", number));
  if (!found.ok()) return WithNames(absl::StrCat("  none: ", found.status().message(), "\n"));
  const coordinator::Profile& profile = **found;
  std::string out =
      absl::StrCat("  ", kStates[static_cast<int>(profile.state)], " attempt=", profile.attempt,
                   " steps=", profile.steps, " first=", profile.first_step,
                   " traces=", profile.traces.size(), "/", profile.workers.size());
  if (!profile.reason.empty()) absl::StrAppend(&out, " ", profile.reason, ": ", profile.message);
  return WithNames(out + "\n");
}

std::string Script::WithNames(std::string text) const {
  for (const auto& [id, job] : core_->jobs()) absl::StrReplaceAll({{id, job.name}}, &text);
  return text;
}

CheckpointKey Script::KeyOf(const std::string& text) const {
  const std::pair<std::string, std::string> parts = absl::StrSplit(text, '/');
  CheckpointKey key(IdOf(parts.first), 0);
  SEER_CHECK(absl::SimpleAtoi(parts.second, &key.second)) << text;
  return key;
}

std::vector<After> Script::ParseAfter(const std::string& jobs, bool any_end) const {
  std::vector<After> after;
  for (absl::string_view name : absl::StrSplit(jobs, ',', absl::SkipEmpty()))
    after.push_back({IdOf(std::string(name)), any_end});
  return after;
}

std::string Script::IdOf(const std::string& name) const {
  const auto found = core_->Find(name);
  return found.ok() ? (*found)->id : name;
}

}  // namespace seer::testing
