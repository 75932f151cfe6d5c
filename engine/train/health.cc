#include "engine/train/health.h"

#include <cmath>
#include <vector>

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "engine/device/device.h"

namespace seer::engine {

StepHealth GatherHealth(const RankVote& vote, const at::Tensor& codes, const at::Tensor& features,
                        const at::Tensor& targets, Communicator& world) {
  const at::NoGradGuard no_grad;
  const int64_t prototypes = codes.size(2), dim = features.size(2);
  const at::Tensor flat_codes = codes.flatten(0, 1),
                   flat_features = features.flatten(0, 1).to(at::kDouble);
  // Counts are exact in any order; bincount would wait for the device.
  const at::Tensor largest = flat_codes.argmax(1);
  const at::Tensor ones = at::ones(largest.sizes(), flat_features.options());
  const at::Tensor chosen =
      at::zeros({prototypes}, flat_features.options()).scatter_add_(0, largest, ones);
  const std::vector<double> votes = {vote.loss,
                                     vote.finite ? 1.0 : 0.0,
                                     vote.stop ? 1.0 : 0.0,
                                     static_cast<double>(flat_codes.size(0)),
                                     static_cast<double>(vote.trace.number),
                                     static_cast<double>(vote.trace.steps),
                                     static_cast<double>(vote.announced)};
  const at::Tensor scalars = CopyTo(codes.device(), at::tensor(votes, at::kDouble));
  at::Tensor sums = at::cat({scalars, flat_codes.sum(0, false, at::kDouble), chosen,
                             flat_features.sum(0), flat_features.square().sum(0)});
  world.AllReduce(sums);

  // All of it on the device, then to the host at once: one wait a step.
  const at::Tensor votes_sum = sums.narrow(0, 0, static_cast<int64_t>(votes.size()));
  const at::Tensor rows = votes_sum[3];
  int64_t offset = votes_sum.numel();
  const auto next = [&](int64_t length) {
    const at::Tensor part = sums.narrow(0, offset, length) / rows;
    offset += length;
    return part;
  };
  const at::Tensor mean_code = next(prototypes), share = next(prototypes), mean = next(dim),
                   square = next(dim);
  const at::Tensor used = (share > 0).to(at::kDouble).mean(),
                   entropy = -at::xlogy(mean_code, mean_code).sum(),
                   divergence = -entropy - (mean_code * targets.log()).sum(),
                   spread = (square - mean.square()).clamp_min(0).sqrt().mean();
  const at::Tensor host =
      at::cat({votes_sum, at::stack({used, share.max(), entropy, spread, divergence.clamp_min(0)})})
          .cpu();
  const double* number = host.const_data_ptr<double>();

  StepHealth health;
  health.loss = number[0] / world.size();
  health.all_finite = number[1] == world.size();
  health.stop_requested = number[2] > 0;
  health.trace = {static_cast<int64_t>(number[4]), static_cast<int>(number[5])};
  health.announced = static_cast<int64_t>(number[6]);
  number += votes.size();
  health.prototypes_used_ratio = number[0];
  health.top_prototype_share = number[1];
  health.assignment_entropy_nats = number[2];
  health.feature_std = number[3];
  health.marginal_kl_nats = number[4];
  return health;
}

}  // namespace seer::engine
