#include "worker/agent/rank_metrics.h"

#include <fstream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "common/http/http_client.h"

namespace seer::worker {
namespace {

// Of all ranks together Prometheus waits 10 s: a rank that stands still must not cost the others.
constexpr absl::Duration kLimit = absl::Seconds(1);

int PortIn(const std::string& path) {
  int port = 0;
  std::ifstream(path) >> port;
  return port;
}

}  // namespace

void RankMetrics::Watch(int64_t key, MetricLabels labels, std::string port_file) {
  absl::MutexLock lock(&mu_);
  ranks_[key] = {std::move(labels), std::move(port_file)};
}

void RankMetrics::Forget(int64_t key) {
  absl::MutexLock lock(&mu_);
  ranks_.erase(key);
}

std::vector<MetricsText> RankMetrics::Texts() const {
  std::map<int64_t, Rank> ranks;
  {
    absl::MutexLock lock(&mu_);
    ranks = ranks_;
  }
  std::vector<MetricsText> texts;
  HttpClient client;
  for (auto& [key, rank] : ranks) {
    const int port = PortIn(rank.port_file);
    if (port == 0) continue;
    HttpRequest request;
    request.url = absl::StrCat("http://127.0.0.1:", port, "/metrics");
    request.connect_timeout = kLimit;
    request.timeout = kLimit;
    auto response = client.Do(request);
    if (response.ok() && response->status == 200)
      texts.push_back({std::move(response->body), std::move(rank.labels)});
  }
  return texts;
}

}  // namespace seer::worker
