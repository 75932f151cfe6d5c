#include "coordinator/services/core_gauges.h"

#include "coordinator/core/hang_finding.h"
#include "coordinator/core/job_states.h"
#include "coordinator/services/convert.h"

namespace seer::coordinator {

void CoreGauges::Measure(const Core& core, Moment now) {
  MeasureJobs(core, now);
  MeasureQueues(core);
  MeasureWorkers(core, now.wall);
}

void CoreGauges::MeasureJobs(const Core& core, Moment now) {
  std::map<JobState, int> states;
  std::set<std::string> running;
  for (const auto& [id, job] : core.jobs()) {
    ++states[job.state];
    if (job.state != JobState::kRunning || job.numbers.evaluation) continue;
    running.insert(id);
    if (const auto skew = RankSkewSeconds(*job.attempt))
      metrics_.rank_skew.Set(*skew, {{"job", id}});
    MeasureSteps(job, now);
    const auto newest = core.checkpoints().find({id, core.NewestCheckpoint(id)});
    const bool any = newest != core.checkpoints().end();
    metrics_.checkpoint_age.Set(
        absl::ToDoubleSeconds(now.wall - (any ? newest->second.created : job.started)),
        {{"job", id}});
    if (!any) continue;
    metrics_.checkpoint_bytes.Set(static_cast<double>(SizeBytes(newest->second)), {{"job", id}});
  }
  for (const std::string& id : running_) {
    if (running.contains(id)) continue;
    for (Gauge* gauge : {&metrics_.rank_skew, &metrics_.step_age, &metrics_.step_seconds,
                         &metrics_.checkpoint_age, &metrics_.checkpoint_bytes})
      gauge->Remove({{"job", id}});
    metrics_.job_info.Remove(info_.at(id));
    info_.erase(id);
  }
  running_ = std::move(running);
  for (int i = static_cast<int>(JobState::kQueued); i <= static_cast<int>(JobState::kCancelled);
       ++i) {
    const auto state = static_cast<JobState>(i);
    metrics_.jobs.Set(states[state], {{"state", StateName(state)}});
  }
  metrics_.checkpoints.Set(static_cast<double>(core.checkpoints().size()));
  if (const auto free = core.storage_free_ratio()) metrics_.storage_free.Set(*free);
}

void CoreGauges::MeasureSteps(const Job& job, Moment now) {
  const MetricLabels of_job = {{"job", job.id}};
  const MetricLabels info = {{"job", job.id}, {"name", job.name}, {"queue", job.numbers.queue}};
  MetricLabels& known = info_[job.id];
  if (known != info && !known.empty()) metrics_.job_info.Remove(known);  // of another queue now
  known = info;
  metrics_.job_info.Set(1, info);
  const Attempt& attempt = *job.attempt;
  if (attempt.newest_step <= attempt.restore_step) {  // nothing is known of this attempt's pace
    metrics_.step_age.Remove(of_job);
    return;
  }
  metrics_.step_age.Set(absl::ToDoubleSeconds(now.steady - attempt.progressed_at), of_job);
  metrics_.step_seconds.Set(job.progress.step_seconds, of_job);
}

void CoreGauges::MeasureQueues(const Core& core) {
  std::map<std::string, QueueUse> uses;
  std::map<std::pair<std::string, std::string>, int> waiting;
  for (const auto& [name, queue] : core.queues()) uses[name];
  for (const auto& [id, job] : core.jobs()) {
    QueueUse& use = uses[job.numbers.queue];
    use.devices += core.DevicesOf(job);
    if (!Waiting(job.state)) continue;
    ++use.waiting;
    const Wait wait = core.WaitOf(job);
    if (wait.reason != WaitReason::kNone)
      ++waiting[{job.numbers.queue, WaitReasonName(wait.reason)}];
  }
  std::set<std::string> queues;
  for (const auto& [name, queue] : core.queues()) {
    queues.insert(name);
    const MetricLabels labels = {{"queue", name}};
    metrics_.queue_depth.Set(uses[name].waiting, labels);
    metrics_.queue_devices.Set(static_cast<double>(uses[name].devices), labels);
    if (queue.quota) {
      metrics_.queue_quota.Set(static_cast<double>(*queue.quota), labels);
    } else {
      metrics_.queue_quota.Remove(labels);
    }
  }
  for (const std::string& name : queues_) {
    if (queues.contains(name)) continue;
    for (Gauge* gauge : {&metrics_.queue_depth, &metrics_.queue_devices, &metrics_.queue_quota})
      gauge->Remove({{"queue", name}});
  }
  queues_ = std::move(queues);
  for (const auto& key : waiting_) {
    if (!waiting.contains(key))
      metrics_.queue_waiting.Remove({{"queue", key.first}, {"reason", key.second}});
  }
  waiting_.clear();
  for (const auto& [key, jobs] : waiting) {
    metrics_.queue_waiting.Set(jobs, {{"queue", key.first}, {"reason", key.second}});
    waiting_.insert(key);
  }
}

void CoreGauges::MeasureWorkers(const Core& core, absl::Time now) {
  for (const auto& [name, worker] : core.workers()) {
    WorkerSeries& series = workers_[name];
    if (!series.up) {
      const MetricLabels labels = {{"worker", name}};
      series = {metrics_.worker_up.Series(labels), metrics_.worker_cordoned.Series(labels),
                metrics_.heartbeat_age.Series(labels)};
    }
    series.up->Set(worker.up);
    series.cordoned->Set(worker.cordon.has_value());
    series.heartbeat_age->Set(absl::ToDoubleSeconds(now - worker.heard_time));
  }
  std::erase_if(workers_, [&](const auto& known) {
    if (core.workers().contains(known.first)) return false;
    for (Gauge* gauge : {&metrics_.worker_up, &metrics_.worker_cordoned, &metrics_.heartbeat_age})
      gauge->Remove({{"worker", known.first}});
    return true;
  });
}

}  // namespace seer::coordinator
