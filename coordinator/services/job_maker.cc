#include "coordinator/services/job_maker.h"

#include <google/protobuf/util/message_differencer.h>

#include <cmath>
#include <optional>
#include <utility>

#include "absl/random/random.h"
#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/philox.h"
#include "common/base/status_macros.h"
#include "common/spec/defaults.h"
#include "common/spec/difference.h"
#include "common/spec/secrets.h"
#include "common/spec/update.h"
#include "common/spec/validate.h"
#include "common/spec/validate_chain.h"
#include "common/trace/tracer.h"
#include "coordinator/core/data_plan.h"
#include "coordinator/services/convert.h"
#include "coordinator/services/etag.h"

namespace seer::coordinator {
namespace {

// An update without an etag rests on what was read before: so often it is made again.
constexpr int kUpdateAttempts = 5;

uint64_t IdSeed(const std::string& request_id) {
  if (!request_id.empty()) return StableHash(request_id);
  static thread_local absl::BitGen random;
  return absl::Uniform<uint64_t>(random);
}

// An epoch is as many steps as the generation has whole batches for, rounded up.
void SetQueueStart(v1::JobSpec& spec, int64_t images) {
  v1::SwavSpec& swav = *spec.mutable_loss()->mutable_swav();
  if (swav.queue_start_epoch() <= 0) return;
  const double batches =
      static_cast<double>(images) / static_cast<double>(spec.data().global_batch());
  swav.set_queue_start_step(static_cast<int64_t>(std::ceil(swav.queue_start_epoch() * batches)));
}

// A job of `spec` can begin with the checkpoint at `step` of one of `trained`.
absl::Status CheckStart(const v1::JobSpec& spec, const v1::JobSpec& trained, int64_t step) {
  using google::protobuf::util::MessageDifferencer;
  const auto mismatch = [&](const char* field, const std::string& what) -> absl::Status {
    return Error(absl::StatusCode::kFailedPrecondition, reason::kCheckpointMismatch,
                 absl::StrCat(spec.checkpoint().start_from(), " is of another ", what))
        .Field(field)
        .Hint(absl::StrCat("take ", field,
                           " from the job that wrote it, or leave "
                           "checkpoint.startFrom out"))
        .With("checkpoint", spec.checkpoint().start_from());
  };
  if (!MessageDifferencer::Equals(spec.model().trunk(), trained.model().trunk()))
    return mismatch("model.trunk", "trunk");
  if (!MessageDifferencer::Equals(spec.model().head(), trained.model().head()))
    return mismatch("model.head", "head");
  const v1::SwavSpec& loss = spec.loss().swav();
  const v1::SwavSpec& before = trained.loss().swav();
  if (loss.prototypes() != before.prototypes())
    return mismatch("loss.swav.prototypes",
                    absl::StrCat("number of prototypes, ", before.prototypes()));
  if (loss.queue_length() != before.queue_length())
    return mismatch("loss.swav.queueLength",
                    absl::StrCat("length of the queue, ", before.queue_length()));
  if (spec.optim().kind() != trained.optim().kind()) return mismatch("optim.kind", "optimiser");
  if (spec.optim().ema_decay() > 0 && trained.optim().ema_decay() == 0)
    return mismatch("optim.emaDecay", "kind: without a mean of the weights");
  if (spec.optim().steps() > step) return absl::OkStatus();
  return Error(absl::StatusCode::kInvalidArgument, reason::kOutOfRange,
               absl::StrCat("optim.steps is ", spec.optim().steps(),
                            ", and the job starts at step ", step))
      .Field("optim.steps")
      .Hint(absl::StrCat("set optim.steps to more than ", step));
}

}  // namespace

// An evaluation is of the checkpoint's own network, unless its spec says otherwise.
absl::Status JobMaker::TakeModelOfCheckpoint(v1::JobSpec& spec) {
  return runner_.Read([&](const Core& core, Store&) -> absl::Status {
    std::string& name = *spec.mutable_eval()->mutable_checkpoint();
    const Job* job = nullptr;
    if (IsNewestOf(name)) {
      SEER_ASSIGN_OR_RETURN(job, core.Find(name));
      name = absl::StrCat("jobs/", job->id);
    } else {
      SEER_ASSIGN_OR_RETURN(const Checkpoint* checkpoint, core.FindCheckpoint(name));
      name = CheckpointName({checkpoint->job, checkpoint->step});
      job = &core.jobs().at(checkpoint->job);
    }
    v1::JobSpec trained;
    trained.ParseFromString(job->spec);
    if (!spec.has_model()) *spec.mutable_model() = trained.model();
    if (!spec.has_augment()) *spec.mutable_augment() = trained.augment();
    return absl::OkStatus();
  });
}

// Every way in which the registry can tell that a job cannot go on with what another one trained:
// better than when its ranks have started.
absl::Status JobMaker::TakeStart(v1::JobSpec& spec) {
  return runner_.Read([&](const Core& core, Store&) -> absl::Status {
    v1::CheckpointSpec& own = *spec.mutable_checkpoint();
    const auto found = core.FindCheckpoint(own.start_from());
    if (!found.ok()) return found.status();
    const Checkpoint& checkpoint = **found;
    own.set_start_from(CheckpointName({checkpoint.job, checkpoint.step}));
    v1::JobSpec trained;
    trained.ParseFromString(core.jobs().at(checkpoint.job).spec);
    if (!spec.has_model()) *spec.mutable_model() = trained.model();
    FillDefaults(spec);
    if (checkpoint.corrupt) {
      return Error(absl::StatusCode::kDataLoss, reason::kCheckpointCorrupt,
                   absl::StrCat(own.start_from(), " is damaged"))
          .Field("checkpoint.startFrom")
          .Hint("choose another; `seer checkpoint list` shows them");
    }
    return CheckStart(spec, trained, checkpoint.step);
  });
}

absl::StatusOr<std::vector<PlanEntry>> JobMaker::PlanFor(v1::JobSpec& spec) {
  const auto look = [&](const std::string& pool, std::optional<int64_t> generation,
                        const char* field, bool labels) -> absl::StatusOr<PoolInfo> {
    SEER_ASSIGN_OR_RETURN(const PoolInfo info, pools_.Get(pool, generation));
    if (info.generation == 0 || info.images == 0) {
      return Error(absl::StatusCode::kFailedPrecondition, reason::kPoolEmpty,
                   absl::StrCat("pool '", pool, "' has no images"))
          .Field(field)
          .Hint(absl::StrCat("fill it first: `seer pool ingest ", pool, " DIR`"))
          .With("pool", pool);
    }
    if (labels && info.labelled_images == 0) {
      return Error(absl::StatusCode::kFailedPrecondition, reason::kNoLabels,
                   absl::StrCat("pool '", pool, "' has no labels"))
          .Field(field)
          .Hint("ingest it with labels from folders, or from .cls members of tar shards")
          .With("pool", pool);
    }
    return info;
  };
  if (spec.kind() == v1::JOB_KIND_EVAL_KNN) {
    SEER_ASSIGN_OR_RETURN(const PoolInfo train,
                          look(spec.eval().train_pool(), std::nullopt, "eval.trainPool", true));
    SEER_ASSIGN_OR_RETURN(const PoolInfo test,
                          look(spec.eval().test_pool(), std::nullopt, "eval.testPool", true));
    return EvaluationPlan(train.generation, test.generation);
  }
  const auto wanted = spec.data().has_generation()
                          ? std::optional<int64_t>(spec.data().generation())
                          : std::nullopt;
  SEER_ASSIGN_OR_RETURN(const PoolInfo pool, look(spec.data().pool(), wanted, "data.pool", false));
  SetQueueStart(spec, pool.images);
  return TrainingPlan(pool.generation);
}

absl::Status JobMaker::ResolveChain(v1::JobSpec& spec) {
  if (spec.chain().after().empty()) return absl::OkStatus();
  return runner_.Read([&](const Core& core, Store&) -> absl::Status {
    for (int i = 0; i < spec.chain().after_size(); ++i) {
      std::string& name = *spec.mutable_chain()->mutable_after(i)->mutable_job();
      if (name.empty()) continue;  // the rules of a spec refuse it
      const auto job = core.Find(name);
      if (!job.ok()) {
        return Error(absl::StatusCode::kNotFound, reason::kJobNotFound, job.status().message())
            .Field(absl::StrCat("chain.after[", i, "].job"))
            .Hint("submit that job first, or both in one file; `seer job list` shows the jobs")
            .With("job", name);
      }
      name = absl::StrCat("jobs/", (*job)->id);
    }
    return absl::OkStatus();
  });
}

// Who may not see a job's secrets may still submit it again, in its own queue.
absl::Status JobMaker::RestoreSecretsOf(v1::JobSpec& spec) {
  if (spec.alerts().webhooks().empty()) return absl::OkStatus();
  v1::JobSpec before;
  SEER_RETURN_IF_ERROR(runner_.Read([&](const Core& core, Store&) {
    const Job* const job = core.index().Newest(spec.metadata().name());
    if (job == nullptr || !before.ParseFromString(job->spec)) return absl::OkStatus();
    const std::string& queue = spec.scheduling().queue();
    if (before.scheduling().queue() != (queue.empty() ? kDefaultQueue : queue)) before.Clear();
    return absl::OkStatus();
  }));
  return RestoreSecrets(before, spec);
}

absl::StatusOr<v1::JobSpec> JobMaker::Complete(const v1::JobSpec& given) {
  v1::JobSpec spec = given;
  SEER_RETURN_IF_ERROR(RestoreSecretsOf(spec));
  SEER_RETURN_IF_ERROR(ResolveChain(spec));
  if (spec.kind() == v1::JOB_KIND_EVAL_KNN && !spec.eval().checkpoint().empty()) {
    SEER_RETURN_IF_ERROR(TakeModelOfCheckpoint(spec));
  } else if (!spec.checkpoint().start_from().empty()) {
    SEER_RETURN_IF_ERROR(TakeStart(spec));
  }
  FillDefaults(spec);
  SEER_RETURN_IF_ERROR(ValidateJobSpec(spec));
  return spec;
}

absl::StatusOr<command::CreateJob> JobMaker::Prepare(const v1::JobSpec& given,
                                                     const std::string& request_id) {
  SEER_ASSIGN_OR_RETURN(v1::JobSpec spec, Complete(given));
  command::CreateJob create;
  const std::string recipe = RecipeDigest(spec);  // what the pool's size sets is no part of it
  SEER_ASSIGN_OR_RETURN(create.job.plan, PlanFor(spec));
  create.job.name = spec.metadata().name();
  create.job.numbers = NumbersOf(spec);
  create.job.numbers.recipe = recipe;
  create.job.spec = spec.SerializeAsString();
  create.job.traceparent = FormatTraceparent(CurrentTrace());
  create.request_id = request_id;
  create.id_seed = IdSeed(request_id);
  return create;
}

absl::StatusOr<std::string> JobMaker::Make(const v1::JobSpec& spec, const std::string& request_id,
                                           const JobOrigin& origin) {
  std::string earlier;
  SEER_RETURN_IF_ERROR(runner_.Read([&](const Core& core, Store&) {
    earlier = core.CreatedBy(request_id);
    return absl::OkStatus();
  }));
  if (!earlier.empty()) return earlier;
  SEER_ASSIGN_OR_RETURN(command::CreateJob create, Prepare(spec, request_id));
  create.job.sweep = origin.sweep;
  create.trial = origin.trial;
  create.job.schedule = origin.schedule;
  const Reply reply = runner_.Execute(std::move(create));
  SEER_RETURN_IF_ERROR(reply.status);
  return reply.job;
}

absl::StatusOr<std::string> JobMaker::Update(const v1::UpdateJobRequest& request) {
  for (int attempt = 1;; ++attempt) {
    command::UpdateJob update;
    update.changes = ChangesOf(request.job().etag());
    v1::JobSpec before;
    SEER_RETURN_IF_ERROR(runner_.Read([&](const Core& core, Store&) -> absl::Status {
      SEER_ASSIGN_OR_RETURN(const Job* job, core.Find(request.job().name()));
      update.name = job->id;
      update.from = job->spec;
      before.ParseFromString(job->spec);
      return absl::OkStatus();
    }));
    v1::JobSpec spec = before;
    SEER_RETURN_IF_ERROR(ApplyUpdate(request.update_mask(), request.job().spec(), spec));
    SEER_RETURN_IF_ERROR(RestoreSecrets(before, spec));
    SEER_RETURN_IF_ERROR(ResolveChain(spec));
    FillDefaults(spec);
    SEER_RETURN_IF_ERROR(ValidateJobSpec(spec));
    update.spec = spec.SerializeAsString();
    update.numbers = NumbersOf(spec);
    update.differences = DifferencesText(DifferencesOf(before, spec));
    const Reply reply = runner_.Execute(std::move(update));
    const bool again = HasReason(reply.status, reason::kEtagMismatch) &&
                       request.job().etag().empty() && attempt < kUpdateAttempts;
    if (again) continue;
    SEER_RETURN_IF_ERROR(reply.status);
    return reply.job;
  }
}

}  // namespace seer::coordinator
