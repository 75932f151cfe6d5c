#include "engine/session/train_session.h"

#include <map>
#include <utility>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include "absl/base/thread_annotations.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/synchronization/mutex.h"
#include "common/base/error.h"
#include "common/base/log.h"
#include "common/base/status_macros.h"
#include "engine/checkpoint/import.h"
#include "engine/checkpoint/reader.h"
#include "engine/checkpoint/snapshot.h"
#include "engine/checkpoint/writer.h"
#include "engine/device/device.h"
#include "engine/optim/optimizer.h"
#include "engine/parallel/communicator.h"
#include "engine/session/torch_boundary.h"
#include "engine/train/config_check.h"
#include "engine/train/step.h"

namespace seer::engine {
namespace {

constexpr char kFormat[] = "seer-checkpoint/1";
constexpr char kOptimizerKey[] = "optimizer";

// Takes a snapshot's memory to the next one. Thread-safe.
class SpareBuffer {
 public:
  HostBuffer Take() ABSL_LOCKS_EXCLUDED(mu_) {
    absl::MutexLock lock(&mu_);
    return std::exchange(buffer_, {});
  }
  void Put(HostBuffer buffer) ABSL_LOCKS_EXCLUDED(mu_) {
    absl::MutexLock lock(&mu_);
    buffer_ = std::move(buffer);
  }

 private:
  absl::Mutex mu_;
  HostBuffer buffer_ ABSL_GUARDED_BY(mu_);
};

class HeldSnapshot final : public CheckpointSnapshot {
 public:
  // `spare` is shared: the session may end first.
  HeldSnapshot(HostSnapshot snapshot, int64_t step, std::shared_ptr<SpareBuffer> spare)
      : snapshot_(std::move(snapshot)), step_(step), spare_(std::move(spare)) {}
  ~HeldSnapshot() override { spare_->Put(std::move(snapshot_.buffer)); }
  int64_t step() const override { return step_; }
  int64_t size_bytes() const override { return static_cast<int64_t>(snapshot_.data().size()); }
  absl::StatusOr<CheckpointFile> Write(ObjectStore& store, const std::string& prefix) override {
    return AtTorchBoundary("writing a checkpoint",
                           [&] { return WriteSnapshot(snapshot_, store, prefix); });
  }

 private:
  HostSnapshot snapshot_;
  const int64_t step_;
  const std::shared_ptr<SpareBuffer> spare_;
};

absl::Status Unreadable(absl::string_view key) {
  return Error(absl::StatusCode::kDataLoss, reason::kCheckpointCorrupt,
               absl::StrCat("the checkpoint's metadata '", key, "' is absent or unreadable"))
      .Hint("restore from an older checkpoint: 'seer checkpoint list' shows them");
}

absl::StatusOr<int64_t> Number(const std::map<std::string, std::string>& metadata,
                               const std::string& key) {
  const auto found = metadata.find(key);
  int64_t value = 0;
  if (found == metadata.end() || !absl::SimpleAtoi(found->second, &value) || value < 0)
    return Unreadable(key);
  return value;
}

class Session final : public TrainSession {
 public:
  Session(const TrainConfig& config, const RankConfig& rank, std::unique_ptr<Gang> gang,
          std::unique_ptr<TrainStep> step)
      : config_(config), rank_(rank), gang_(std::move(gang)), step_(std::move(step)) {}

  int64_t next_step() const override { return step_->next_step(); }

  absl::StatusOr<StepReport> Step(const Batch& batch) override {
    SEER_RETURN_IF_ERROR(CheckBatch(config_, rank_.world_size, next_step(), batch));
    return AtTorchBoundary(absl::StrCat("step ", next_step()),
                           [&]() -> absl::StatusOr<StepReport> { return step_->Run(batch); });
  }

  void RequestStop() override { step_->RequestStop(); }
  void RequestTrace(TraceRequest request) override { step_->RequestTrace(request); }
  void Announce(int64_t number) override { step_->Announce(number); }
  TraceRecorder& trace() override { return step_->trace(); }

  absl::StatusOr<std::unique_ptr<CheckpointSnapshot>> Snapshot() override {
    return AtTorchBoundary("taking a snapshot",
                           [&]() -> absl::StatusOr<std::unique_ptr<CheckpointSnapshot>> {
                             std::map<std::string, std::string> metadata = {
                                 {"format", kFormat},
                                 {"step", absl::StrCat(next_step())},
                                 {"config_sha256", ConfigDigest(config_)},
                                 {kOptimizerKey, OptimizerName(config_.optim.kind)}};
                             if (step_->queue() != nullptr)
                               metadata["queue_filled"] = absl::StrCat(step_->queue()->filled());
                             return std::make_unique<HeldSnapshot>(
                                 TakeSnapshot(step_->SharedState(), step_->Buffers(), metadata,
                                              rank_.rank, rank_.world_size, spare_->Take()),
                                 next_step(), spare_);
                           });
  }

  absl::Status Restore(ObjectStore& store, const std::string& prefix) override {
    if (next_step() != 0) {
      return Error(
          absl::StatusCode::kFailedPrecondition, reason::kInvalidArgument,
          absl::StrCat("restore after ", next_step(), " steps; it must come before the first"));
    }
    return AtTorchBoundary("restoring a checkpoint", [&]() -> absl::Status {
      int64_t step = 0, queue_filled = 0;
      bool same_config = false;
      const auto check = [&](const std::map<std::string, std::string>& metadata) -> absl::Status {
        const auto format = metadata.find("format");
        if (format == metadata.end() || format->second != kFormat) return Unreadable("format");
        SEER_ASSIGN_OR_RETURN(step, Number(metadata, "step"));
        if (metadata.contains("queue_filled")) {
          SEER_ASSIGN_OR_RETURN(queue_filled, Number(metadata, "queue_filled"));
        }
        if (step_->queue() != nullptr && queue_filled > step_->queue()->rows().size(1))
          return Unreadable("queue_filled");
        const auto digest = metadata.find("config_sha256");
        same_config = digest != metadata.end() && digest->second == ConfigDigest(config_);
        return CheckOptimizer(metadata);
      };
      SEER_RETURN_IF_ERROR(RestoreCheckpoint(store, prefix, State(), /*exact=*/true, check));
      step_->placement().WeightsUpdated();
      if (step_->queue() != nullptr) step_->queue()->Restore(step_->queue()->rows(), queue_filled);
      step_->set_next_step(step);
      if (!same_config)
        LogWarn("checkpoint_config_differs", {{"checkpoint", prefix}, {"step", step}});
      return absl::OkStatus();
    });
  }

  absl::StatusOr<std::string> LoadWeights(ObjectStore& store, const std::string& key) override {
    if (next_step() != 0) {
      return Error(
          absl::StatusCode::kFailedPrecondition, reason::kInvalidArgument,
          absl::StrCat("weights after ", next_step(), " steps; they come before the first"));
    }
    return AtTorchBoundary("loading weights", [&]() -> absl::StatusOr<std::string> {
      std::vector<StateTensor> state = State();
      // The mean starts as what the weights are.
      for (StateTensor& t : state)
        t.name = std::string(absl::StripPrefix(t.name, kWeightMeanPrefix));
      auto loaded = ImportWeights(store, key, config_.weights.names, state);
      step_->placement().WeightsUpdated();
      return loaded;
    });
  }

 private:
  // Another kind's state means something else even where the names agree (SGD's and LARS's
  // momentum).
  absl::Status CheckOptimizer(const std::map<std::string, std::string>& metadata) const {
    const auto found = metadata.find(kOptimizerKey);
    // Checkpoints without the key were written when there was SGD alone.
    const std::string written =
        found == metadata.end() ? OptimizerName(OptimizerKind::kSgd) : found->second;
    const std::string wanted = OptimizerName(config_.optim.kind);
    if (written == wanted) return absl::OkStatus();
    return Error(absl::StatusCode::kFailedPrecondition, reason::kCheckpointMismatch,
                 absl::StrCat("the checkpoint holds the state of optimiser '", written,
                              "', the job trains with '", wanted, "'"))
        .Field("optim.kind")
        .Hint(absl::StrCat("set optim.kind to ", written, ", or train from the start"))
        .With("written", written)
        .With("wanted", wanted);
  }

  // Everything that a later attempt needs; shared with the step.
  std::vector<StateTensor> State() const {
    std::vector<StateTensor> state = step_->SharedState();
    for (StateTensor& buffer : step_->Buffers()) state.push_back(std::move(buffer));
    return state;
  }

  const TrainConfig config_;
  const RankConfig rank_;
  const std::unique_ptr<Gang> gang_;
  const std::unique_ptr<TrainStep> step_;
  const std::shared_ptr<SpareBuffer> spare_ = std::make_shared<SpareBuffer>();
};

}  // namespace

absl::StatusOr<std::unique_ptr<TrainSession>> TrainSession::Create(const TrainConfig& config,
                                                                   const RankConfig& rank) {
  SEER_RETURN_IF_ERROR(CheckConfig(config, rank));
  return AtTorchBoundary(
      "creating the session", [&]() -> absl::StatusOr<std::unique_ptr<TrainSession>> {
        at::set_num_threads(rank.threads);
        SEER_ASSIGN_OR_RETURN(std::unique_ptr<Device> device, OpenDevice(rank.device));
        std::unique_ptr<Gang> gang = JoinGang(
            {rank.rank, rank.world_size, rank.store_host, rank.store_port, rank.store_listen_fd,
             rank.store_prefix, config.distributed.collective_timeout_seconds,
             config.distributed.backend, device->where(), rank.flight});
        SEER_ASSIGN_OR_RETURN(std::unique_ptr<TrainStep> step,
                              TrainStep::Create(config, *gang, std::move(device)));
        return std::make_unique<Session>(config, rank, std::move(gang), std::move(step));
      });
}

}  // namespace seer::engine
