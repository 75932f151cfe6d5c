// Weights that a job starts with in place of random ones: model.weights of its spec.
#pragma once

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/base/log.h"
#include "common/base/object_store.h"
#include "common/base/status_macros.h"
#include "engine/session/config.h"

namespace seer::worker {

struct WeightsFile {
  std::unique_ptr<ObjectStore> store;
  std::string key;
};

// Errors of OpenStore; whether the file is there is not looked at.
absl::StatusOr<WeightsFile> OpenWeightsFile(const std::string& uri);

// Session: engine::TrainSession or engine::EvalSession. Errors of OpenWeightsFile and LoadWeights.
template <typename Session>
absl::Status LoadInitialWeights(const engine::WeightsConfig& weights, Session& session) {
  SEER_ASSIGN_OR_RETURN(const WeightsFile file, OpenWeightsFile(weights.uri));
  SEER_ASSIGN_OR_RETURN(const std::string what, session.LoadWeights(*file.store, file.key));
  LogInfo("weights_loaded", {{"uri", weights.uri}, {"what", what}});
  return absl::OkStatus();
}

}  // namespace seer::worker
