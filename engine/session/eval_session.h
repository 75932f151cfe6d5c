// k-NN evaluation of a frozen trunk, as VISSL and DINO report it: features of a labelled training
// set and of a held-out set, cosine similarity, votes weighted by exp(similarity / temperature).
// One process. Not thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/object_store.h"
#include "engine/session/batch.h"
#include "engine/session/config.h"

namespace seer::engine {

struct KnnConfig {
  std::vector<int> k = {20};  // neighbours; one result each
  double temperature = 0.07;  // of the votes
};

struct KnnResult {
  int k = 0;
  double top1_ratio = 0;  // of the held-out images
  double top5_ratio = 0;  // the right class is among the five with the most votes
};

class EvalSession {
 public:
  // The trunk with its random weights (seed, parameter name): the baseline. Uses `config`'s trunk,
  // precision, photometry mean/std and seed. `device`: as RankConfig's. INVALID_ARGUMENT: the trunk
  // cannot be built, threads < 1, or there is no such device.
  static absl::StatusOr<std::unique_ptr<EvalSession>> Create(const TrainConfig& config, int threads,
                                                             const std::string& device = "cpu");
  virtual ~EvalSession() = default;

  // Loads the trunk's parameters and buffers out of a committed checkpoint; head, prototypes and
  // momentum are passed over. NOT_FOUND with CHECKPOINT_NOT_FOUND, DATA_LOSS with
  // CHECKPOINT_CORRUPT, FAILED_PRECONDITION with CHECKPOINT_MISMATCH.
  // A session that failed is not to be used.
  virtual absl::Status LoadTrunk(ObjectStore& store, const std::string& prefix) = 0;
  // The same out of a safetensors file under the names that config.weights asks for; rules and
  // errors: see checkpoint/import.h. Returns a text for the log.
  virtual absl::StatusOr<std::string> LoadWeights(ObjectStore& store, const std::string& key) = 0;

  enum class Set { kTrain, kHeldOut };
  // Runs the trunk in evaluation mode on single-view crops, uint8 [samples, size, size, 3];
  // keeps L2-normalised features and labels. INVALID_ARGUMENT: several views or sizes.
  virtual absl::Status Add(Set set, const Batch& batch) = 0;
  // FAILED_PRECONDITION with NO_LABELS: a set is empty or has unlabelled images. INVALID_ARGUMENT:
  // no k, a k below 1, or a temperature that is not above 0.
  virtual absl::StatusOr<std::vector<KnnResult>> Knn(const KnnConfig& config) = 0;
};

}  // namespace seer::engine
