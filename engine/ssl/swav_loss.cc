#include "engine/ssl/swav_loss.h"

#include <ATen/ATen.h>

namespace seer::engine {

at::Tensor SwavLoss(const at::Tensor& scores, const at::Tensor& codes, double temperature) {
  const int64_t views = scores.size(0), samples = scores.size(1), assigned = codes.size(0);
  const at::Tensor log_p = at::log_softmax(scores / temperature, 2);
  // View v is compared with the codes of all assigned views but its own,
  // and every pair weighs the same: one product.
  const at::Tensor total = codes.sum(0, /*keepdim=*/true);  // [1, samples, K]
  at::Tensor targets = total.expand({views, samples, codes.size(2)}).clone();
  targets.narrow(0, 0, assigned).sub_(codes);
  return -(targets * log_p).sum() / static_cast<double>(samples * assigned * (views - 1));
}

}  // namespace seer::engine
