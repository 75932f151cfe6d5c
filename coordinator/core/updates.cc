// Core's part about jobs that are changed after they were made.
#include <utility>

#include "common/base/error.h"
#include "coordinator/core/core.h"
#include "coordinator/core/etag.h"
#include "coordinator/core/job_states.h"

namespace seer::coordinator {

void Core::On(const command::UpdateJob& c, Moment now, Decision& out) {
  const auto found = Find(c.name);
  if (out.reply.status = found.status(); !found.ok()) return;
  Job& job = jobs_.at((*found)->id);
  out.reply.job = job.id;
  if (Ended(job.state) || job.cancelling) {
    out.reply.status = WrongState(job, "changed");
    return;
  }
  out.reply.status = CheckEtag("job", job.id, c.changes, job.changes);
  if (out.reply.status.ok() && job.spec != c.from)
    out.reply.status = ChangedMeanwhile("job", job.id);
  if (out.reply.status.ok() && c.numbers.queue != job.numbers.queue)
    out.reply.status = CheckQueueOf(c.numbers);
  if (!out.reply.status.ok() || c.spec == job.spec) return;
  if (c.numbers.after != job.numbers.after) {
    if (out.reply.status = CheckChain(job, c.numbers); !out.reply.status.ok()) return;
  }
  UnlinkChain(job);
  JobNumbers numbers = c.numbers;
  numbers.recipe = job.numbers.recipe;  // these two no update changes
  numbers.eval_step = job.numbers.eval_step;
  job.spec = c.spec;
  job.numbers = std::move(numbers);
  LinkChain(job);
  if (Waiting(job.state)) unsettled_.insert(job.id);
  Changed(job, out);
  AddEvent(job, 0, "job_updated", "", c.differences, now, out);
  Retain(job.id, now, out);
  schedule_ = true;
}

}  // namespace seer::coordinator
