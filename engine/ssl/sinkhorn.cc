#include "engine/ssl/sinkhorn.h"

#include <limits>

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

namespace seer::engine {

Codes Sinkhorn(const at::Tensor& scores, const SinkhornOptions& options, Communicator& world) {
  const at::NoGradGuard no_grad;
  // A sum below this is one whose terms all underflowed; it then stays 0 instead of becoming NaN.
  constexpr float kTiny = std::numeric_limits<float>::min();
  const int64_t views = scores.size(0), prototypes = scores.size(2);

  at::Tensor top = scores.amax({1, 2});  // [views]
  world.AllReduceMax(top);
  at::Tensor q = scores.to(at::kFloat, /*non_blocking=*/false, /*copy=*/true);
  q.sub_(top.view({views, 1, 1})).div_(options.epsilon).exp_();
  for (int i = 0; i < options.iterations; ++i) {
    at::Tensor marginal = q.sum(1);  // [views, K]
    world.AllReduce(marginal);
    q.div_(marginal.clamp_min_(kTiny).mul_(prototypes).unsqueeze(1));
    // The reference scales columns to 1 / samples here and back at the end: the two cancel.
    q.div_(q.sum(2, /*keepdim=*/true).clamp_min_(kTiny));
  }
  // [views, K + 1]: marginals and the number of samples over all ranks.
  at::Tensor totals = at::cat({q.sum(1), at::full({views, 1}, scores.size(1), at::kFloat)}, 1);
  world.AllReduce(totals);
  const at::Tensor share = totals.narrow(1, 0, prototypes) / totals.narrow(1, prototypes, 1);
  return {q, share.mul(prototypes).sub(1).abs().max()};
}

}  // namespace seer::engine
