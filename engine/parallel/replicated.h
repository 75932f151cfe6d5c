// Data parallelism with the parameters on every rank: buckets of gradients are averaged over the
// world while the backward pass goes on. Not thread-safe.
#pragma once

#include <memory>
#include <vector>

#include "engine/parallel/communicator.h"
#include "engine/parallel/flat_buffer.h"
#include "engine/parallel/placement.h"

namespace seer::engine {

class ReplicatedParameters final : public ParameterPlacement {
 public:
  // `units`: the parameters of each unit. `world` must outlive this. The backward pass finishes the
  // last unit first. See FlatGradients for bucket_bytes.
  ReplicatedParameters(const std::vector<std::vector<NamedTensor>>& units, int64_t bucket_bytes,
                       Communicator& world);

  void GradientsDone(size_t unit, bool last) override;
  void Store(size_t) override {}
  void ZeroGradients() override { gradients_.Zero(); }
  void FinishGradients() override;
  const std::vector<NamedTensor>& own() const override { return parameters_; }
  void WeightsUpdated() override {}
  void SumOverPieces(std::vector<double>&) const override {}
  at::Tensor Whole(size_t, const at::Tensor& piece) const override { return piece; }
  void CopyPiece(size_t parameter, const at::Tensor& whole, at::Tensor piece) const override;

 private:
  const std::vector<NamedTensor> parameters_;
  FlatGradients gradients_;
  Communicator& world_;
  const size_t units_;
  std::vector<std::unique_ptr<Pending>> pending_;
};

}  // namespace seer::engine
