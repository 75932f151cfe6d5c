#include "engine/eval/knn.h"

#include <algorithm>

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

namespace seer::engine {
namespace {

constexpr int64_t kRowsAtOnce = 256;  // bounds the similarity matrix

}  // namespace

std::vector<KnnResult> WeightedKnn(const LabelledFeatures& train, const LabelledFeatures& held_out,
                                   const KnnConfig& config) {
  const at::NoGradGuard no_grad;
  const int64_t train_count = train.features.size(0), count = held_out.features.size(0);
  const int64_t classes = train.labels.max().item<int64_t>() + 1;
  const int64_t most =
      std::min<int64_t>(*std::max_element(config.k.begin(), config.k.end()), train_count);
  std::vector<int64_t> top1(config.k.size(), 0), top5(config.k.size(), 0);
  for (int64_t begin = 0; begin < count; begin += kRowsAtOnce) {
    const int64_t rows = std::min(kRowsAtOnce, count - begin);
    const at::Tensor similarity =
        at::matmul(held_out.features.narrow(0, begin, rows), train.features.t());
    const auto [nearest, index] = similarity.topk(most, 1);
    const at::Tensor weight = (nearest / config.temperature).exp();
    const at::Tensor label = train.labels.index_select(0, index.reshape({-1})).view_as(index);
    const at::Tensor truth = held_out.labels.narrow(0, begin, rows).unsqueeze(1);
    for (size_t i = 0; i < config.k.size(); ++i) {
      const int64_t k = std::min<int64_t>(config.k[i], most);
      const at::Tensor votes = at::zeros({rows, classes}, weight.options())
                                   .scatter_add(1, label.narrow(1, 0, k), weight.narrow(1, 0, k));
      const at::Tensor ranking = std::get<1>(votes.topk(std::min<int64_t>(5, classes), 1));
      const at::Tensor hits = ranking == truth;
      top1[i] += hits.select(1, 0).sum().item<int64_t>();
      top5[i] += hits.sum().item<int64_t>();
    }
  }
  std::vector<KnnResult> results;
  for (size_t i = 0; i < config.k.size(); ++i) {
    results.push_back({config.k[i], static_cast<double>(top1[i]) / static_cast<double>(count),
                       static_cast<double>(top5[i]) / static_cast<double>(count)});
  }
  return results;
}

}  // namespace seer::engine
