#include "engine/parallel/replicated.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

namespace seer::engine {
namespace {

std::vector<NamedTensor> Joined(const std::vector<std::vector<NamedTensor>>& units) {
  std::vector<NamedTensor> all;
  for (const auto& unit : units) all.insert(all.end(), unit.begin(), unit.end());
  return all;
}

}  // namespace

ReplicatedParameters::ReplicatedParameters(const std::vector<std::vector<NamedTensor>>& units,
                                           int64_t bucket_bytes, Communicator& world)
    : parameters_(Joined(units)),
      gradients_({units.rbegin(), units.rend()}, bucket_bytes),
      world_(world),
      units_(units.size()) {}

void ReplicatedParameters::GradientsDone(size_t unit, bool last) {
  if (world_.size() == 1 || !last) return;
  const int64_t bucket = gradients_.CompletedBy(units_ - 1 - unit);
  if (bucket >= 0)
    pending_.push_back(world_.AllReduceAsync(gradients_.bucket(static_cast<size_t>(bucket))));
}

void ReplicatedParameters::FinishGradients() {
  for (const auto& pending : pending_) pending->Wait();
  pending_.clear();
  if (world_.size() == 1) return;
  for (size_t b = 0; b < gradients_.bucket_count(); ++b) gradients_.bucket(b).div_(world_.size());
}

void ReplicatedParameters::CopyPiece(size_t, const at::Tensor& whole, at::Tensor piece) const {
  const at::NoGradGuard no_grad;
  piece.copy_(whole);
}

}  // namespace seer::engine
