#include "engine/checkpoint/reader.h"

#include <cstring>
#include <utility>

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "engine/checkpoint/files.h"

namespace seer::engine {
namespace {

absl::Status Mismatch(const std::string& tensor, absl::string_view what) {
  return Error(absl::StatusCode::kFailedPrecondition, reason::kCheckpointMismatch,
               absl::StrCat("the checkpoint does not fit this model: tensor '", tensor, "' ", what))
      .Hint("use the model, head and queue settings of the job that wrote it")
      .With("tensor", tensor);
}

std::string ShapeText(at::IntArrayRef shape) {
  return absl::StrCat("[", absl::StrJoin(shape, ", "), "]");
}

}  // namespace

absl::StatusOr<LoadedCheckpoint> ReadCheckpoint(ObjectStore& store, const std::string& prefix) {
  LoadedCheckpoint checkpoint;
  SEER_ASSIGN_OR_RETURN(
      checkpoint.metadata,
      VisitCheckpoint(store, prefix, [&](const SafetensorsEntry& entry, absl::string_view bytes) {
        at::Tensor tensor = at::empty(entry.shape, entry.dtype == "F32" ? at::kFloat : at::kLong);
        std::memcpy(tensor.mutable_data_ptr(), bytes.data(), bytes.size());
        checkpoint.tensors.emplace(entry.name, std::move(tensor));
        return absl::OkStatus();
      }));
  return checkpoint;
}

absl::Status CopyInto(const LoadedCheckpoint& checkpoint, std::vector<NamedTensor>& state,
                      bool exact) {
  std::map<std::string, at::Tensor> wanted;
  for (const NamedTensor& t : state) wanted.emplace(t.name, t.tensor);
  for (const auto& [name, tensor] : wanted) {
    const auto found = checkpoint.tensors.find(name);
    if (found == checkpoint.tensors.end()) return Mismatch(name, "is not in the checkpoint");
    if (found->second.sizes() != tensor.sizes() ||
        found->second.scalar_type() != tensor.scalar_type()) {
      return Mismatch(name, absl::StrCat("has shape ", ShapeText(found->second.sizes()),
                                         " there and ", ShapeText(tensor.sizes()), " here"));
    }
  }
  if (exact) {
    for (const auto& [name, tensor] : checkpoint.tensors) {
      if (!wanted.contains(name))
        return Mismatch(name, "is in the checkpoint, but not in the model");
    }
  }
  const at::NoGradGuard no_grad;
  for (auto& [name, tensor] : wanted) tensor.copy_(checkpoint.tensors.at(name));
  return absl::OkStatus();
}

}  // namespace seer::engine
