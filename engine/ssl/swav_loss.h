// SwAV's loss: the code of one view is predicted from every other view (arXiv:2006.09882, equation
// 2, with the averages of the reference main_swav.py:
// over samples, over the other views, over the assigned views).
#pragma once

#include <ATen/core/Tensor.h>

namespace seer::engine {

// scores: [views, samples, K], differentiable; codes: [assigned, samples, K], constants, of views
// 0 … assigned − 1. Returns the mean loss over this rank's samples,
// a float scalar; uniform predictions give ln K.
// `temperature`: tau, above 0. At least 2 views.
at::Tensor SwavLoss(const at::Tensor& scores, const at::Tensor& codes, double temperature);

}  // namespace seer::engine
