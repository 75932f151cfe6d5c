// Core's part about queues: what clients ask for.
#include <cmath>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "coordinator/core/core.h"
#include "coordinator/core/etag.h"
#include "coordinator/core/find_named.h"
#include "coordinator/core/job_states.h"

namespace seer::coordinator {
namespace {

constexpr double kMaxWeight = 1e6;
constexpr int64_t kMaxDevices = 1'000'000'000;
constexpr int kMaxPreemptions = 1000;

absl::Status Broken(absl::string_view field, const std::string& value, const std::string& allowed) {
  return Error(absl::StatusCode::kInvalidArgument, reason::kOutOfRange,
               absl::StrCat(field, " is ", value, ", must be ", allowed))
      .Field(field)
      .Hint(absl::StrCat(field, " may be ", allowed));
}

absl::Status CheckQueue(const Queue& queue) {
  const std::string& name = queue.name;
  bool good = !name.empty() && name.size() <= 63 && name.front() != '-' && name.back() != '-';
  for (const char c : name)
    good = good && (absl::ascii_islower(static_cast<unsigned char>(c)) ||
                    absl::ascii_isdigit(static_cast<unsigned char>(c)) || c == '-');
  if (!good)
    return Broken("queue.name", absl::StrCat("'", name, "'"),
                  "1 to 63 of a-z, 0-9 and '-', not at the ends");
  for (const auto& [field, value] : {std::pair("queue.quota_devices", queue.quota),
                                     std::pair("queue.borrow_devices", queue.borrow)}) {
    if (value && (*value < 0 || *value > kMaxDevices))
      return Broken(field, absl::StrCat(*value), absl::StrCat("from 0 to ", kMaxDevices));
  }
  if (!(queue.weight > 0 && queue.weight <= kMaxWeight))  // also NaN
    return Broken("queue.weight", absl::StrCat(queue.weight),
                  absl::StrCat("above 0, at most ", kMaxWeight));
  if (queue.max_preemptions_per_hour < 0 || queue.max_preemptions_per_hour > kMaxPreemptions)
    return Broken("queue.max_preemptions_per_hour", absl::StrCat(queue.max_preemptions_per_hour),
                  absl::StrCat("from 0 to ", kMaxPreemptions));
  if (queue.preemption_grace < absl::Seconds(1) || queue.preemption_grace > absl::Hours(1))
    return Broken("queue.preemption_grace", absl::FormatDuration(queue.preemption_grace),
                  "from 1s to 1h");
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<const Queue*> Core::FindQueue(const std::string& name) const {
  return FindNamed(queues_, name, "queue", reason::kQueueNotFound,
                   "`seer queue list` shows the queues, `seer queue create` makes one");
}

QueueUse Core::UseOf(const std::string& queue) const {
  QueueUse use;
  for (const auto& [attempt, id] : live_) {
    const Job& job = jobs_.at(id);
    if (job.numbers.queue != queue) continue;
    ++use.running;
    use.devices += DevicesOf(job);
  }
  for (const std::string& id : waiting_) {
    const Job& job = jobs_.at(id);
    if (job.numbers.queue != queue) continue;
    ++use.waiting;
    use.devices += DevicesOf(job);
  }
  return use;
}

void Core::On(const command::CreateQueue& c, Moment, Decision& out) {
  if (out.reply.status = CheckQueue(c.queue); !out.reply.status.ok()) return;
  const auto [it, fresh] = queues_.try_emplace(c.queue.name, c.queue);
  if (!fresh) {
    out.reply.status = Error(absl::StatusCode::kAlreadyExists, reason::kQueueExists,
                             absl::StrCat("there is a queue '", c.queue.name, "' already"))
                           .Field("queue.name")
                           .Hint(absl::StrCat("`seer queue set ", c.queue.name, "` changes it"))
                           .With("queue", c.queue.name);
    return;
  }
  it->second.changes = 1;
  out.changes.queues.insert(c.queue.name);
}

void Core::On(const command::UpdateQueue& c, Moment, Decision& out) {
  const auto found = FindQueue(c.queue.name);
  if (out.reply.status = found.status(); !found.ok()) return;
  if (out.reply.status = CheckEtag("queue", (*found)->name, c.changes, (*found)->changes);
      !out.reply.status.ok())
    return;
  if (out.reply.status = CheckQueue(c.queue); !out.reply.status.ok()) return;
  Queue& queue = queues_.at(c.queue.name);
  const int64_t changes = queue.changes + 1;
  queue = c.queue;
  queue.changes = changes;
  out.changes.queues.insert(queue.name);
  schedule_ = true;
}

void Core::On(const command::DeleteQueue& c, Moment, Decision& out) {
  const auto found = FindQueue(c.name);
  if (out.reply.status = found.status(); !found.ok()) return;
  if (out.reply.status = CheckEtag("queue", (*found)->name, c.changes, (*found)->changes);
      !out.reply.status.ok())
    return;
  const std::string name = (*found)->name;
  std::string why = name == kDefaultQueue ? "is always there" : "";
  std::string hint = "`seer queue set` changes its limits";
  int jobs = 0;
  for (const auto& [id, job] : jobs_) jobs += !Ended(job.state) && job.numbers.queue == name;
  if (jobs > 0) {
    why = absl::StrCat("has ", jobs, jobs == 1 ? " job that has" : " jobs that have", " not ended");
    hint = "wait for them, or cancel them; `seer job list -o wide` shows the queues of jobs";
  }
  if (!why.empty()) {
    out.reply.status = Error(absl::StatusCode::kFailedPrecondition, reason::kQueueInUse,
                             absl::StrCat("queue '", name, "' ", why))
                           .Field("name")
                           .Hint(hint)
                           .With("queue", name);
    return;
  }
  queues_.erase(name);
  out.changes.removed_queues.insert(name);
}

}  // namespace seer::coordinator
