#include "engine/train/health.h"

#include <cmath>
#include <vector>

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

namespace seer::engine {

StepHealth GatherHealth(const RankVote& vote, const at::Tensor& codes, const at::Tensor& features,
                        Communicator& world) {
  const at::NoGradGuard no_grad;
  const int64_t prototypes = codes.size(2), dim = features.size(2);
  const at::Tensor flat_codes = codes.flatten(0, 1),
                   flat_features = features.flatten(0, 1).to(at::kDouble);
  const at::Tensor chosen = at::bincount(flat_codes.argmax(1), {}, prototypes).to(at::kDouble);
  const std::vector<double> votes = {vote.loss, vote.finite ? 1.0 : 0.0, vote.stop ? 1.0 : 0.0,
                                     static_cast<double>(flat_codes.size(0))};
  const at::Tensor scalars = at::tensor(votes, at::kDouble);
  at::Tensor sums = at::cat({scalars, flat_codes.sum(0, false, at::kDouble), chosen,
                             flat_features.sum(0), flat_features.square().sum(0)});
  world.AllReduce(sums);

  StepHealth health;
  const double rows = sums[3].item<double>();
  health.loss = sums[0].item<double>() / world.size();
  health.all_finite = sums[1].item<double>() == world.size();
  health.stop_requested = sums[2].item<double>() > 0;
  int64_t offset = 4;
  const auto next = [&](int64_t length) {
    const at::Tensor part = sums.narrow(0, offset, length) / rows;
    offset += length;
    return part;
  };
  const at::Tensor mean_code = next(prototypes), share = next(prototypes), mean = next(dim),
                   square = next(dim);
  health.prototypes_used_ratio = (share > 0).to(at::kDouble).mean().item<double>();
  health.top_prototype_share = share.max().item<double>();
  health.assignment_entropy_nats = -at::xlogy(mean_code, mean_code).sum().item<double>();
  health.feature_std = (square - mean.square()).clamp_min(0).sqrt().mean().item<double>();
  return health;
}

}  // namespace seer::engine
