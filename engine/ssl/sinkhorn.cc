#include "engine/ssl/sinkhorn.h"

#include <limits>

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "engine/device/device.h"

namespace seer::engine {
namespace {

// A sum below this is one whose terms all underflowed; it then stays 0 instead of becoming NaN.
constexpr float kTiny = std::numeric_limits<float>::min();

// [K] double: 1 over the target share of each prototype; K exactly where all are alike.
at::Tensor InverseShares(int64_t prototypes, double power_law_exponent) {
  const at::Tensor weights = at::arange(1, prototypes + 1, at::kDouble).pow(-power_law_exponent);
  return weights.sum() / weights;
}

at::Tensor PlainSinkhorn(const at::Tensor& scores, const SinkhornOptions& options,
                         const at::Tensor& inverse, Communicator& world) {
  at::Tensor top = scores.amax({1, 2});  // [views]
  world.AllReduceMax(top);
  at::Tensor q = scores.to(at::kFloat, /*non_blocking=*/false, /*copy=*/true);
  q.sub_(top.view({-1, 1, 1})).div_(options.epsilon).exp_();
  for (int i = 0; i < options.iterations; ++i) {
    at::Tensor marginal = q.sum(1);  // [views, K]
    world.AllReduce(marginal);
    q.div_(marginal.clamp_min_(kTiny).mul_(inverse).unsqueeze(1));
    // The reference scales columns to 1 / samples here and back at the end: the two cancel.
    q.div_(q.sum(2, /*keepdim=*/true).clamp_min_(kTiny));
  }
  return q;
}

at::Tensor LogSinkhorn(const at::Tensor& scores, const SinkhornOptions& options,
                       const at::Tensor& inverse, Communicator& world) {
  at::Tensor log_q = scores.to(at::kFloat).div(options.epsilon);
  const at::Tensor log_inverse = inverse.log();
  for (int i = 0; i < options.iterations; ++i) {
    at::Tensor top = log_q.amax(1);  // [views, K]
    world.AllReduceMax(top);
    at::Tensor sum = (log_q - top.unsqueeze(1)).exp_().sum(1);
    world.AllReduce(sum);  // at least 1: the largest term is
    log_q.sub_(sum.log_().add_(top).add_(log_inverse).unsqueeze(1));
    log_q.sub_(log_q.logsumexp({2}, /*keepdim=*/true));
  }
  return log_q.exp_();
}

}  // namespace

at::Tensor PrototypeShares(int64_t prototypes, double power_law_exponent) {
  return InverseShares(prototypes, power_law_exponent).reciprocal();
}

Codes Sinkhorn(const at::Tensor& scores, const SinkhornOptions& options, Communicator& world) {
  const at::NoGradGuard no_grad;
  const int64_t views = scores.size(0), prototypes = scores.size(2);
  const at::Tensor inverse =
      CopyTo(scores.device(), InverseShares(prototypes, options.power_law_exponent).to(at::kFloat));
  const at::Tensor q = options.domain == SinkhornDomain::kLog
                           ? LogSinkhorn(scores, options, inverse, world)
                           : PlainSinkhorn(scores, options, inverse, world);
  // [views, K + 1]: marginals and the number of samples over all ranks.
  at::Tensor totals = at::cat({q.sum(1), at::full({views, 1}, scores.size(1), q.options())}, 1);
  world.AllReduce(totals);
  const at::Tensor share = totals.narrow(1, 0, prototypes) / totals.narrow(1, prototypes, 1);
  return {q, share.mul(inverse).sub(1).abs().max()};
}

at::Tensor HardCodes(const at::Tensor& codes) {
  const at::NoGradGuard no_grad;
  return at::zeros_like(codes).scatter_(2, codes.argmax(2, /*keepdim=*/true), 1);
}

}  // namespace seer::engine
