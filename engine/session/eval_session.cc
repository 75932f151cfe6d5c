#include "engine/session/eval_session.h"

#include <array>
#include <utility>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "engine/augment/photometry.h"
#include "engine/checkpoint/import.h"
#include "engine/checkpoint/reader.h"
#include "engine/device/device.h"
#include "engine/eval/knn.h"
#include "engine/nn/trunk.h"
#include "engine/parallel/communicator.h"
#include "engine/parallel/executor.h"
#include "engine/session/torch_boundary.h"
#include "engine/train/config_check.h"
#include "engine/train/network.h"

namespace seer::engine {
namespace {

struct FeatureSet {
  std::vector<at::Tensor> features;  // [N, D] each
  std::vector<int64_t> labels;
  bool unlabelled = false;
};

class Session final : public EvalSession {
 public:
  Session(const TrainConfig& config, std::unique_ptr<Device> device,
          std::unique_ptr<Communicator> solo, Trunk trunk)
      : config_(config),
        device_(std::move(device)),
        solo_(std::move(solo)),
        trunk_(std::move(trunk)),
        executor_(trunk_.chain, weights_, std::vector<bool>(trunk_.chain.size(), false)) {
    std::vector<at::Tensor> tensors;
    for (const NamedTensor& t : Tensors()) tensors.push_back(t.tensor);
    MoveTo(device_->where(), tensors);
  }

  absl::Status LoadTrunk(ObjectStore& store, const std::string& prefix) override {
    return AtTorchBoundary("loading a trunk", [&]() -> absl::Status {
      return RestoreCheckpoint(store, prefix, State(), /*exact=*/false);
    });
  }

  absl::StatusOr<std::string> LoadWeights(ObjectStore& store, const std::string& key) override {
    return AtTorchBoundary("loading weights", [&]() -> absl::StatusOr<std::string> {
      return ImportWeights(store, key, config_.weights.names, State());
    });
  }

  absl::Status Add(Set set, const Batch& batch) override {
    SEER_RETURN_IF_ERROR(CheckCrops(batch));
    const CropTensor& crop = batch.crops[0];
    if (batch.crops.size() != 1 || crop.views != 1) {
      return Error(absl::StatusCode::kInvalidArgument, reason::kInvalidArgument,
                   absl::StrCat("evaluation takes one view of one size, the batch has ",
                                batch.crops.size(), " sizes and ", crop.views, " views"))
          .Field("batch.crops");
    }
    return AtTorchBoundary("computing features", [&]() -> absl::Status {
      const at::Tensor pixels =
          device_->Stage(crop.pixels).view({crop.samples, crop.size, crop.size, 3});
      const at::Tensor x =
          NormalisePixels(pixels, config_.photometry).to(ActivationType(config_.precision));
      const at::Tensor y = executor_.Evaluate(x).to(at::kFloat);
      FeatureSet& into = sets_[static_cast<size_t>(set)];
      into.features.push_back(y / y.norm(2, {1}, /*keepdim=*/true).clamp_min(1e-12));
      if (batch.labels.empty()) into.unlabelled = true;
      for (const int32_t label : batch.labels) {
        if (label < 0) into.unlabelled = true;
        into.labels.push_back(label);
      }
      return absl::OkStatus();
    });
  }

  absl::StatusOr<std::vector<KnnResult>> Knn(const KnnConfig& config) override {
    for (const auto& [set, name] :
         {std::pair{Set::kTrain, "training"}, std::pair{Set::kHeldOut, "held-out"}}) {
      const FeatureSet& features = sets_[static_cast<size_t>(set)];
      if (!features.features.empty() && !features.unlabelled) continue;
      return Error(absl::StatusCode::kFailedPrecondition, reason::kNoLabels,
                   absl::StrCat("the ", name, " set ",
                                features.features.empty() ? "is empty" : "has unlabelled images"))
          .Hint("ingest a labelled set, for example folders named after their class");
    }
    if (config.k.empty() || !(config.temperature > 0)) {
      return Error(absl::StatusCode::kInvalidArgument, reason::kInvalidArgument,
                   "k-NN needs a k and a temperature above 0");
    }
    for (const int k : config.k) {
      if (k >= 1) continue;
      return Error(absl::StatusCode::kInvalidArgument, reason::kOutOfRange,
                   absl::StrCat("k is ", k, ", below 1"))
          .Field("k");
    }
    return AtTorchBoundary("k-NN", [&]() -> absl::StatusOr<std::vector<KnnResult>> {
      return WeightedKnn(Joined(Set::kTrain), Joined(Set::kHeldOut), config);
    });
  }

 private:
  std::vector<NamedTensor> Tensors() const {
    std::vector<NamedTensor> state;
    for (const auto& segment : trunk_.chain) {
      for (NamedTensor& p : segment->parameters()) state.push_back(std::move(p));
      for (NamedTensor& b : segment->buffers()) state.push_back(std::move(b));
    }
    return state;
  }
  std::vector<StateTensor> State() const { return HeldWhole(Tensors()); }

  LabelledFeatures Joined(Set set) const {
    const FeatureSet& features = sets_[static_cast<size_t>(set)];
    return {at::cat(features.features, 0),
            CopyTo(device_->where(), at::tensor(features.labels, at::kLong))};
  }

  const TrainConfig config_;
  const std::unique_ptr<Device> device_;
  const std::unique_ptr<Communicator> solo_;
  Trunk trunk_;
  UnitWalk weights_;  // all there
  ChainExecutor executor_;
  std::array<FeatureSet, 2> sets_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<EvalSession>> EvalSession::Create(const TrainConfig& config,
                                                                 int threads,
                                                                 const std::string& device) {
  if (threads < 1) {
    return Error(absl::StatusCode::kInvalidArgument, reason::kOutOfRange,
                 absl::StrCat(threads, " threads are none"))
        .Field("threads");
  }
  SEER_RETURN_IF_ERROR(CheckPhotometry(config.photometry));
  return AtTorchBoundary(
      "creating the evaluation", [&]() -> absl::StatusOr<std::unique_ptr<EvalSession>> {
        at::set_num_threads(threads);
        SEER_ASSIGN_OR_RETURN(std::unique_ptr<Device> opened, OpenDevice(device));
        SetProductPrecision(config.precision);
        std::unique_ptr<Communicator> solo = MakeSoloCommunicator();
        const Initializer init(config.seed);
        SEER_ASSIGN_OR_RETURN(Trunk trunk, BuildTrunk(config.trunk, {init, *solo}));
        return std::make_unique<Session>(config, std::move(opened), std::move(solo),
                                         std::move(trunk));
      });
}

}  // namespace seer::engine
