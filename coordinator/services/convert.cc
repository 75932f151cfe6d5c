#include "coordinator/services/convert.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include <algorithm>
#include <set>
#include <tuple>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/base/digest.h"
#include "common/base/error.h"
#include "common/base/label.h"
#include "common/base/log.h"
#include "common/spec/elastic.h"
#include "common/spec/health.h"
#include "common/spec/secrets.h"
#include "coordinator/core/job_states.h"
#include "coordinator/core/retry.h"
#include "coordinator/core/scheduler.h"

namespace seer::coordinator {
namespace {

const char* RankStateName(RankState state) {
  switch (state) {
    case RankState::kStarting:
      return "starting";
    case RankState::kRunning:
      return "running";
    case RankState::kExited:
      return "exited";
  }
  return "";
}

void SetEval(const EvalResult& eval, v1::EvalResult* out) {
  for (const KnnResult& knn : eval.knn) {
    v1::EvalResult::Knn* const to = out->add_knn();
    to->set_k(knn.k);
    to->set_top1_ratio(knn.top1_ratio);
    to->set_top5_ratio(knn.top5_ratio);
  }
  out->set_train_images(eval.train_images);
  out->set_test_images(eval.test_images);
}

// Of a checkpoint's full name; else no job and no step.
CheckpointKey KeyOf(const std::string& name) {
  const std::vector<std::string> parts = absl::StrSplit(name, '/');
  CheckpointKey key;
  if (parts.size() == 4 && absl::SimpleAtoi(parts[3], &key.second)) key.first = parts[1];
  return key;
}

void SetFailure(const Failure& failure, v1::Failure* out) {
  out->set_failure_class(static_cast<v1::FailureClass>(failure.failure));
  out->set_sign(failure.sign);
  out->set_message(failure.message);
  out->set_next_step(PolicyOf(failure.failure).next_step);
  out->set_attempt(failure.attempt);
  out->set_rank(failure.rank);
  out->set_worker(absl::StrCat("workers/", failure.worker));
  SetTime(failure.time, out->mutable_time());
}

// What its attempts begin with: webhooks are the coordinator's.
std::string SpecOf(const Job& job) {
  v1::JobSpec spec;
  const bool same = job.overrides.empty() && !job.numbers.webhooks;
  if (same || !spec.ParseFromString(job.spec)) return job.spec;
  MaskSecrets(spec);
  const google::protobuf::Map<std::string, std::string> values(job.overrides.begin(),
                                                               job.overrides.end());
  const absl::Status status = ApplyOverrides(values, spec);
  if (!status.ok()) LogError("overrides_refused", {{"job", job.id}, {"error", StatusText(status)}});
  return spec.SerializeAsString();
}

}  // namespace

void SetTime(absl::Time time, google::protobuf::Timestamp* out) {
  const int64_t nanos = absl::ToUnixNanos(time);
  out->set_seconds(nanos / 1'000'000'000);
  out->set_nanos(static_cast<int32_t>(nanos % 1'000'000'000));
}

absl::Time FromProto(const google::protobuf::Timestamp& time) {
  return absl::FromUnixSeconds(time.seconds()) + absl::Nanoseconds(time.nanos());
}

void SetDuration(absl::Duration duration, google::protobuf::Duration* out) {
  out->set_seconds(absl::ToInt64Seconds(duration));
  out->set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(duration % absl::Seconds(1))));
}

absl::Duration FromProto(const google::protobuf::Duration& duration) {
  return absl::Seconds(duration.seconds()) + absl::Nanoseconds(duration.nanos());
}

v1::Wait ToProto(const Wait& wait, const Job& job, const Core& core) {
  v1::Wait out;
  out.set_reason(WaitReasonName(wait.reason));
  out.set_message(core.Explain(job, wait));
  return out;
}

v1::Queue ToProto(const Queue& queue, const Core& core) {
  v1::Queue out;
  out.set_name(absl::StrCat("queues/", queue.name));
  if (queue.quota) out.set_quota_devices(*queue.quota);
  if (queue.borrow) out.set_borrow_devices(*queue.borrow);
  out.set_weight(queue.weight);
  out.set_max_preemptions_per_hour(queue.max_preemptions_per_hour);
  SetDuration(queue.preemption_grace, out.mutable_preemption_grace());
  out.set_etag(absl::StrCat(queue.changes));
  const QueueUse use = core.UseOf(queue.name);
  out.set_devices_in_use(use.devices);
  out.set_devices_borrowed(queue.quota ? std::max<int64_t>(use.devices - *queue.quota, 0) : 0);
  out.set_jobs_running(use.running);
  out.set_jobs_waiting(use.waiting);
  return out;
}

v1::Progress ToProto(const Progress& p, int64_t total_steps) {
  v1::Progress out;
  out.set_step(p.step);
  out.set_total_steps(total_steps);
  out.set_loss(p.loss);
  out.set_learning_rate(p.learning_rate);
  out.set_images_per_second(p.images_per_second);
  out.set_step_seconds(p.step_seconds);
  out.set_data_stall_ratio(p.data_stall_ratio);
  out.set_prototypes_used_ratio(p.prototypes_used_ratio);
  out.set_assignment_entropy_nats(p.assignment_entropy_nats);
  out.set_feature_std(p.feature_std);
  out.set_gradient_norm(p.gradient_norm);
  out.set_skipped_steps(p.skipped_steps);
  if (p.updated > absl::UnixEpoch()) SetTime(p.updated, out.mutable_update_time());
  return out;
}

v1::Job ToProto(const Job& job, const Core& core, Moment now) {
  v1::Job out;
  out.set_name(absl::StrCat("jobs/", job.id));
  out.mutable_spec()->ParseFromString(job.spec);
  MaskSecrets(*out.mutable_spec());
  out.mutable_spec()->mutable_metadata()->set_name(job.name);
  if (!job.numbers.eval_job.empty() && job.numbers.eval_step > 0)
    out.mutable_spec()->mutable_eval()->set_checkpoint(
        CheckpointName({job.numbers.eval_job, job.numbers.eval_step}));
  out.set_state(static_cast<v1::JobState>(job.state));
  out.set_state_reason(job.reason);
  out.set_state_message(job.message);
  out.set_preemptions(job.preemptions);
  if (!Ended(job.state)) out.set_storage_warning(core.StorageWarning());
  if (const Wait wait = core.WaitOf(job); wait.reason != WaitReason::kNone) {
    *out.mutable_wait() = ToProto(wait, job, core);
    if (job.state == JobState::kQueued && job.reason.empty())
      out.set_state_message(out.wait().message());
  }
  SetTime(job.created, out.mutable_create_time());
  if (job.started != absl::InfinitePast()) SetTime(job.started, out.mutable_start_time());
  if (job.ended != absl::InfinitePast()) SetTime(job.ended, out.mutable_end_time());
  out.set_attempt(job.attempts);
  *out.mutable_progress() = ToProto(job.progress, job.numbers.steps);
  out.set_last_checkpoint_step(core.NewestCheckpoint(job.id));
  out.set_etag(absl::StrCat(job.changes));
  for (const PlanEntry& entry : job.plan) {
    v1::DataPlanEntry* const to = out.add_data_plan();
    to->set_first_step(entry.first_step);
    to->set_generation(entry.generation);
  }
  if (job.attempt) {
    for (size_t i = 0; i < job.attempt->ranks.size(); ++i) {
      v1::RankPlacement* const to = out.add_ranks();
      to->set_rank(static_cast<int32_t>(i));
      to->set_worker(absl::StrCat("workers/", job.attempt->ranks[i].worker));
      to->set_state(RankStateName(job.attempt->ranks[i].state));
    }
    out.set_spare_devices(static_cast<int32_t>(job.attempt->spares.size()));
  }
  if (job.failure) SetFailure(*job.failure, out.mutable_last_failure());
  if (!Ended(job.state)) {
    for (const Avoided& avoided : job.avoided)
      out.add_avoided_workers(absl::StrCat("workers/", avoided.worker));
  }
  if (job.eval) SetEval(*job.eval, out.mutable_eval_result());
  const double train_seconds = job.train_seconds + job.progress.train_seconds;
  if (train_seconds > 0)
    out.set_data_stall_ratio((job.data_wait_seconds + job.progress.data_wait_seconds) /
                             train_seconds);
  out.set_first_loss(job.first_loss);
  for (const HealthFinding& finding : job.findings) {
    v1::HealthFinding* const to = out.add_findings();
    to->set_rule(finding.rule);
    to->set_message(finding.message);
    to->set_step(finding.step);
    to->set_acted(finding.acted);
    SetTime(finding.time, to->mutable_time());
    to->set_end_step(finding.end_step);
  }
  out.mutable_overrides()->insert(job.overrides.begin(), job.overrides.end());
  const TimeShares shares = Core::TimeSharesOf(job, now);
  for (size_t i = 0; i < kTimeClasses; ++i) {
    if (!(shares[i] > 0)) continue;
    v1::TimeShare* const to = out.add_time_shares();
    to->set_time_class(TimeClassName(static_cast<TimeClass>(i)));
    to->set_seconds(shares[i]);
  }
  if (!job.sweep.empty()) out.set_sweep(absl::StrCat("sweeps/", job.sweep));
  if (!job.schedule.empty()) out.set_schedule(absl::StrCat("schedules/", job.schedule));
  return out;
}

v1::Checkpoint ToProto(const Checkpoint& checkpoint, const RetentionDecision& retention,
                       const std::string& storage_uri) {
  v1::Checkpoint out;
  out.set_name(CheckpointName({checkpoint.job, checkpoint.step}));
  out.set_step(checkpoint.step);
  out.set_corrupt(checkpoint.corrupt);
  out.set_attempt(checkpoint.attempt);
  SetTime(checkpoint.created, out.mutable_create_time());
  for (const CheckpointFile& file : checkpoint.files) {
    v1::CheckpointFile* const to = out.add_files();
    to->set_name(file.name);
    to->set_size_bytes(file.size_bytes);
    to->set_sha256(file.sha256);
  }
  out.set_size_bytes(SizeBytes(checkpoint));
  out.set_uri(CheckpointUri(storage_uri, checkpoint.job, checkpoint.step));
  out.set_keep_reason(retention.reason);
  if (checkpoint.pin) {
    out.mutable_pin()->set_user(checkpoint.pin->user);
    out.mutable_pin()->set_reason(checkpoint.pin->reason);
    SetTime(checkpoint.pin->created, out.mutable_pin()->mutable_create_time());
  }
  out.set_generation(checkpoint.generation);
  out.set_recipe_sha256(checkpoint.recipe);
  if (!checkpoint.restored_job.empty())
    out.set_restored_from(CheckpointName({checkpoint.restored_job, checkpoint.restored_step}));
  if (retention.top1_ratio) out.set_knn_top1_ratio(*retention.top1_ratio);
  return out;
}

v1::Worker ToProto(const Worker& worker, const Core& core) {
  v1::Worker out;
  out.set_name(absl::StrCat("workers/", worker.name));
  out.set_state(worker.up ? v1::WORKER_STATE_UP : v1::WORKER_STATE_LOST);
  out.set_hostname(worker.hostname);
  out.set_address(worker.address);
  out.set_devices(worker.devices);
  out.set_device_kind(worker.device_kind);
  if (worker.heard_time != absl::InfinitePast())
    SetTime(worker.heard_time, out.mutable_heartbeat_time());
  out.set_version(worker.version);
  out.mutable_labels()->insert(worker.labels.begin(), worker.labels.end());
  (*out.mutable_labels())[std::string(kDeviceLabel)] = worker.device_kind;
  int used = 0;
  for (const auto& [id, job] : core.jobs()) {
    if (!job.attempt) continue;
    const auto here =
        std::count_if(job.attempt->ranks.begin(), job.attempt->ranks.end(),
                      [&](const Rank& rank) {
                        return rank.worker == worker.name && rank.state != RankState::kExited;
                      }) +
        std::count(job.attempt->spares.begin(), job.attempt->spares.end(), worker.name);
    if (here > 0) out.add_jobs(absl::StrCat("jobs/", id));
    used += static_cast<int>(here);
  }
  out.set_devices_in_use(used);
  if (worker.cordon) {
    v1::Cordon& cordon = *out.mutable_cordon();
    cordon.set_reason(worker.cordon->reason);
    cordon.set_automatic(worker.cordon->automatic);
    cordon.set_draining(worker.cordon->draining);
    SetTime(worker.cordon->time, cordon.mutable_time());
  }
  for (const Fault& fault : worker.faults) {
    v1::WorkerFault* const to = out.add_faults();
    SetTime(fault.time, to->mutable_time());
    to->set_failure_class(static_cast<v1::FailureClass>(fault.failure));
    to->set_job(absl::StrCat("jobs/", fault.job));
    to->set_attempt(fault.attempt);
    to->set_message(fault.message);
  }
  return out;
}

v1::Profile ToProto(const Profile& profile, const Core& core) {
  v1::Profile out;
  out.set_name(absl::StrCat("jobs/", profile.job, "/profiles/", profile.number));
  out.set_state(static_cast<v1::ProfileState>(profile.state));
  out.set_state_reason(profile.reason);
  out.set_state_message(profile.message);
  out.set_attempt(profile.attempt);
  out.set_steps(profile.steps);
  out.set_first_step(profile.first_step);
  if (profile.state == ProfileState::kDone) {
    out.set_steps_done(profile.steps);
  } else if (profile.state == ProfileState::kRecording) {
    const int64_t step = core.jobs().at(profile.job).progress.step;
    out.set_steps_done(
        static_cast<int32_t>(std::clamp<int64_t>(step - profile.first_step, 0, profile.steps)));
  }
  out.set_ranks(static_cast<int32_t>(profile.workers.size()));
  out.set_ranks_received(static_cast<int32_t>(profile.traces.size()));
  SetTime(profile.created, out.mutable_create_time());
  return out;
}

v1::Event ToProto(const Event& event) {
  v1::Event out;
  out.set_number(event.number);
  SetTime(event.created, out.mutable_create_time());
  out.set_job(absl::StrCat("jobs/", event.job));
  out.set_attempt(event.attempt);
  out.set_type(event.type);
  out.set_from_state(event.from);
  out.set_to_state(event.to);
  out.set_reason(event.reason);
  out.set_message(event.message);
  return out;
}

int64_t SizeBytes(const Checkpoint& checkpoint) {
  int64_t bytes = 0;
  for (const CheckpointFile& file : checkpoint.files) bytes += file.size_bytes;
  return bytes;
}

std::string CheckpointName(const CheckpointKey& key) {
  return absl::StrCat("jobs/", key.first, "/checkpoints/", key.second);
}

std::string CheckpointKeyPrefix(const std::string& job, int64_t step) {
  return absl::StrCat(job, "/checkpoints/", step);
}

std::string CheckpointUri(const std::string& storage_uri, const std::string& job, int64_t step) {
  return absl::StrCat(storage_uri, "/", CheckpointKeyPrefix(job, step));
}

JobNumbers NumbersOf(const v1::JobSpec& spec) {
  JobNumbers numbers;
  numbers.shape.ranks = spec.distributed().ranks();
  const std::vector<int> sizes = WorldSizes(spec);
  numbers.smaller.assign(sizes.begin() + 1, sizes.end());
  numbers.spares = spec.distributed().spare_ranks();
  const v1::SchedulingSpec& scheduling = spec.scheduling();
  if (!scheduling.queue().empty()) numbers.queue = scheduling.queue();
  numbers.priority = scheduling.priority();
  numbers.stop_when_preempted = scheduling.on_preemption() == v1::PREEMPTION_POLICY_STOP;
  numbers.shape.within = scheduling.group_within();
  numbers.shape.selector = {scheduling.worker_selector().begin(),
                            scheduling.worker_selector().end()};
  if (spec.distributed().backend() == v1::COLLECTIVE_BACKEND_NCCL)
    numbers.shape.selector.emplace(kDeviceLabel, "cuda");
  if (!numbers.shape.within.empty()) {
    const int group = spec.distributed().sync_bn_group_size();
    numbers.shape.group_ranks = group > 0 ? group : numbers.shape.ranks;
  }
  // Of the smaller groups, the larger one; a group of the whole gang asks for nothing.
  for (const int group :
       {spec.distributed().sync_bn_group_size(), spec.distributed().shard_group_size()}) {
    if (numbers.shape.within.empty() && group < numbers.shape.ranks)
      numbers.shape.group_ranks = std::max(numbers.shape.group_ranks, group);
  }
  numbers.health = static_cast<HealthMode>(spec.alerts().mode());
  for (const v1::HealthRuleSpec& rule : HealthRulesOf(spec)) {
    HealthRule& to = numbers.health_rules.emplace_back();
    to.name = rule.name();
    to.signal = static_cast<HealthSignal>(rule.signal());
    to.above = rule.has_above();
    to.bound = to.above ? rule.above() : rule.below();
    to.for_steps = rule.for_steps();
    to.after_step = rule.after_step();
    to.action = static_cast<HealthAction>(rule.action());
    to.set = {rule.set().begin(), rule.set().end()};
  }
  numbers.ln_k = UniformLoss(spec.loss().swav());
  for (const v1::AfterSpec& after : spec.chain().after())
    numbers.after.push_back({std::string(absl::StripPrefix(after.job(), "jobs/")),
                             after.condition() == v1::AFTER_CONDITION_ENDED});
  numbers.webhooks = !spec.alerts().webhooks().empty();
  numbers.max_restarts = spec.failure().max_restarts();
  const v1::CheckpointSpec& checkpoint = spec.checkpoint();
  numbers.keep = {checkpoint.keep_last(), checkpoint.keep_every(), checkpoint.keep_best()};
  numbers.keep_last_when_full = checkpoint.keep_last_when_full();
  std::tie(numbers.start_job, numbers.start_step) = KeyOf(checkpoint.start_from());
  numbers.no_progress_timeout = FromProto(spec.failure().no_progress_timeout());
  numbers.evaluation = spec.kind() == v1::JOB_KIND_EVAL_KNN;
  if (!numbers.evaluation) {
    numbers.steps = spec.optim().steps();
    if (spec.data().follow_pool()) numbers.followed_pool = spec.data().pool();
    return numbers;
  }
  std::tie(numbers.eval_job, numbers.eval_step) = KeyOf(spec.eval().checkpoint());
  if (numbers.eval_job.empty())
    numbers.eval_job = std::string(absl::StripPrefix(spec.eval().checkpoint(), "jobs/"));
  return numbers;
}

Progress FromProto(const internal::v1::ReportProgressRequest& request) {
  Progress p;
  p.step = request.step();
  p.loss = request.loss();
  p.learning_rate = request.learning_rate();
  p.images_per_second = request.images_per_second();
  p.step_seconds = request.step_seconds();
  p.data_stall_ratio = request.data_stall_ratio();
  p.prototypes_used_ratio = request.prototypes_used_ratio();
  p.assignment_entropy_nats = request.assignment_entropy_nats();
  p.feature_std = request.feature_std();
  p.gradient_norm = request.gradient_norm();
  p.skipped_steps = request.skipped_steps();
  p.data_wait_seconds = request.data_wait_seconds();
  p.train_seconds = request.train_seconds();
  p.checkpoint_seconds = request.checkpoint_seconds();
  p.first_loss = request.first_loss();
  return p;
}

std::string RecipeDigest(v1::JobSpec spec) {
  spec.clear_metadata();
  spec.clear_scheduling();
  spec.clear_failure();
  spec.clear_checkpoint();
  if (spec.has_distributed()) {
    spec.mutable_distributed()->clear_min_ranks();
    spec.mutable_distributed()->clear_spare_ranks();
  }
  spec.clear_alerts();
  spec.clear_chain();
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream coded(&stream);
    coded.SetSerializationDeterministic(true);
    spec.SerializeToCodedStream(&coded);
  }
  return Sha256Hex(bytes);
}

std::vector<PlanEntry> FromProto(
    const google::protobuf::RepeatedPtrField<internal::v1::DataPlanEntry>& plan) {
  std::vector<PlanEntry> entries;
  for (const auto& entry : plan) entries.push_back({entry.first_step(), entry.generation()});
  return entries;
}

RunningRank FromProto(const internal::v1::RunningRank& rank) {
  return {rank.attempt_id(), rank.job(), rank.rank()};
}

internal::v1::CoordinatorMessage MakeAssign(const Job& job, int rank, const Core& core,
                                            const AssignContext& context) {
  internal::v1::CoordinatorMessage message;
  internal::v1::Assign& out = *message.mutable_assign();
  const Attempt& attempt = *job.attempt;
  const std::string& worker = attempt.ranks[static_cast<size_t>(rank)].worker;
  out.set_attempt_id(attempt.id);
  out.set_job(absl::StrCat("jobs/", job.id));
  out.set_attempt(attempt.number);
  out.set_rank(rank);
  out.set_world_size(static_cast<int32_t>(attempt.ranks.size()));
  out.set_spec(SpecOf(job));
  const auto first = core.workers().find(attempt.ranks.front().worker);
  if (first != core.workers().end()) out.set_store_host(first->second.address);
  out.set_store_port(StorePort(attempt.id));
  for (const PlanEntry& entry : job.plan) {
    internal::v1::DataPlanEntry* const to = out.add_data_plan();
    to->set_first_step(entry.first_step);
    to->set_generation(entry.generation);
  }
  if (attempt.restore_step > 0)
    out.set_restore_uri(CheckpointUri(context.storage_uri,
                                      attempt.restore_job.empty() ? job.id : attempt.restore_job,
                                      attempt.restore_step));
  out.set_restore_step(attempt.restore_step);
  out.set_storage_uri(context.storage_uri);
  for (const std::string& address : context.dataservice_addresses)
    out.add_dataservice_addresses(address);
  // Several agents may share a machine: what counts for the cores is the host.
  const auto host = [&](const std::string& name) {
    const auto it = core.workers().find(name);
    return it == core.workers().end() ? name : it->second.hostname;
  };
  out.set_ranks_on_machine(static_cast<int32_t>(
      std::count_if(attempt.ranks.begin(), attempt.ranks.end(),
                    [&](const Rank& other) { return host(other.worker) == host(worker); })));
  if (!job.numbers.eval_job.empty()) {
    out.set_eval_checkpoint_uri(
        CheckpointUri(context.storage_uri, job.numbers.eval_job, job.numbers.eval_step));
  }
  return message;
}

}  // namespace seer::coordinator
