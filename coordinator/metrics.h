// Every metric of the coordinator: its name and help, once.
// Handles are thread-safe; the registry must outlive them.
#pragma once

#include "common/metrics/registry.h"

namespace seer::coordinator {

struct CoordinatorMetrics {
  explicit CoordinatorMetrics(MetricsRegistry& r)
      : jobs(r.AddGauge("seer_jobs", "Jobs by state.")),
        queue_depth(r.AddGauge("seer_queue_depth", "Jobs of a queue that wait for devices.")),
        queue_waiting(
            r.AddGauge("seer_queue_waiting", "Jobs of a queue that wait, by why they do.")),
        queue_devices(r.AddGauge("seer_queue_devices", "Devices that jobs of a queue hold.")),
        queue_quota(r.AddGauge("seer_queue_quota_devices", "Quota of a queue that has one.")),
        preemptions(r.AddCounter("seer_preemptions_total",
                                 "Gangs that were told to give their devices up, by why.")),
        preemption_lost(r.AddCounter("seer_preemption_lost_seconds_total",
                                     "Device-seconds of steps that are done again because a gang "
                                     "gave its devices up.")),
        transitions(r.AddCounter("seer_job_state_transitions_total", "Changes of jobs' states.")),
        queue_wait(r.AddHistogram("seer_job_queue_wait_seconds",
                                  "From a job's creation to its first attempt.",
                                  {.1, 1, 10, 60, 300, 1800, 7200, 28800, 86400})),
        gang_wait(r.AddHistogram("seer_gang_wait_seconds",
                                 "From a job's wish for devices, its creation, a resumption or an "
                                 "attempt's end, to its gang running.",
                                 {.1, 1, 3, 10, 30, 60, 300, 1800, 7200, 28800, 86400})),
        restarts(
            r.AddCounter("seer_job_restarts_total", "Attempts after a failure, by its class.")),
        failures(r.AddCounter("seer_job_failures_total",
                              "Attempts that failed, by whose fault it was.")),
        job_time(r.AddCounter(
            "seer_job_time_seconds_total",
            "Time of jobs since submission, each second in one class: queue, start, productive, "
            "data, redo, checkpoint, hang, preempt, idle.")),
        health_findings(r.AddCounter(
            "seer_health_findings_total",
            "Health rules that found a signal beyond its bound, by what was done: alert, act.")),
        scheduler_cycle(r.AddHistogram("seer_scheduler_cycle_seconds",
                                       "One decision that went through the queue.",
                                       {.00001, .0001, .001, .01, .1, 1})),
        worker_up(r.AddGauge("seer_worker_up", "1: its lease runs; 0: lost.")),
        worker_cordoned(
            r.AddGauge("seer_worker_cordoned", "1: nothing is placed on it; 0: it may be.")),
        rank_skew(r.AddGauge("seer_train_rank_skew_seconds",
                             "How much longer a step takes a job's slowest rank than its fastest, "
                             "but for waiting for each other.")),
        job_info(r.AddGauge("seer_job_info", "1, by a running job's id, name and queue.")),
        step_age(r.AddGauge("seer_job_step_age_seconds",
                            "Since a running job's newest step, once its attempt has made one.")),
        step_seconds(r.AddGauge("seer_job_step_seconds",
                                "A step of a running job, exponential mean of rank 0.")),
        heartbeat_age(
            r.AddGauge("seer_worker_heartbeat_age_seconds", "Since a worker's last heartbeat.")),
        heartbeat(r.AddHistogram("seer_worker_heartbeat_seconds",
                                 "From a heartbeat's arrival to its acknowledgement.",
                                 {.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5})),
        commit(r.AddHistogram("seer_database_commit_seconds", "One transaction of the database.",
                              {.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 5})),
        commit_failures(r.AddCounter("seer_database_commit_failures_total",
                                     "Transactions that failed; they are tried again.")),
        leader(r.AddGauge("seer_leader", "1: this coordinator leads; 0: it stands by.")),
        checkpoints(r.AddGauge("seer_checkpoints", "Checkpoints that are kept.")),
        checkpoint_bytes(r.AddGauge("seer_checkpoint_bytes", "Size of a job's newest checkpoint.")),
        checkpoint_age(r.AddGauge("seer_checkpoint_age_seconds",
                                  "Since a running job's newest checkpoint, or its start.")),
        storage_free(r.AddGauge("seer_storage_free_ratio",
                                "Share of the checkpoints' file system that is free.")),
        logs_dropped_bytes(r.AddCounter("seer_job_logs_dropped_bytes_total",
                                        "Logs of ended jobs that were dropped (--keep-logs).")),
        webhook_posts(r.AddCounter("seer_webhook_posts_total",
                                   "Posts to webhooks, by outcome: delivered, retried, failed, "
                                   "dropped.")),
        checkpoint_commits(r.AddCounter("seer_checkpoint_commits_total", "Checkpoints committed.")),
        checkpoint_deleted(
            r.AddCounter("seer_checkpoint_deleted_total", "Checkpoints that retention deleted.")),
        checkpoint_failures(r.AddCounter("seer_checkpoint_failures_total",
                                         "Failed writes of COMMITTED, deletions, verifications.")),
        checkpoint_seconds(r.AddHistogram("seer_checkpoint_seconds",
                                          "Time of a stage: verify, commit.",
                                          {.001, .01, .1, 1, 10, 60, 600})) {}

  Gauge& jobs;
  Gauge& queue_depth;
  Gauge& queue_waiting;
  Gauge& queue_devices;
  Gauge& queue_quota;
  Counter& preemptions;
  Counter& preemption_lost;
  Counter& transitions;
  Histogram& queue_wait;
  Histogram& gang_wait;
  Counter& restarts;
  Counter& failures;
  Counter& job_time;
  Counter& health_findings;
  Histogram& scheduler_cycle;
  Gauge& worker_up;
  Gauge& worker_cordoned;
  Gauge& rank_skew;
  Gauge& job_info;
  Gauge& step_age;
  Gauge& step_seconds;
  Gauge& heartbeat_age;
  Histogram& heartbeat;
  Histogram& commit;
  Counter& commit_failures;
  Gauge& leader;
  Gauge& checkpoints;
  Gauge& checkpoint_bytes;
  Gauge& checkpoint_age;
  Gauge& storage_free;
  Counter& logs_dropped_bytes;
  Counter& webhook_posts;
  Counter& checkpoint_commits;
  Counter& checkpoint_deleted;
  Counter& checkpoint_failures;
  Histogram& checkpoint_seconds;
};

}  // namespace seer::coordinator
