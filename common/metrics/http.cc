#include "common/metrics/http.h"

#include <prometheus/exposer.h>

#include <exception>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/metrics/registry_impl.h"

namespace seer {

struct MetricsHttp::Impl {
  explicit Impl(const std::string& address) : exposer(address, /*num_threads=*/2) {}
  prometheus::Exposer exposer;
};

MetricsHttp::MetricsHttp() = default;
MetricsHttp::~MetricsHttp() = default;

absl::StatusOr<std::unique_ptr<MetricsHttp>> MetricsHttp::Start(const std::string& address,
                                                                MetricsRegistry& registry) {
  std::unique_ptr<MetricsHttp> http(new MetricsHttp());
  try {
    http->impl_ = std::make_unique<Impl>(address);
  } catch (const std::exception& error) {
    return Error(absl::StatusCode::kAlreadyExists, reason::kPortInUse,
                 absl::StrCat("cannot serve metrics on ", address, ": ", error.what()))
        .Field("metrics")
        .Hint("choose another port with --metrics HOST:PORT, or port 0 for any free one");
  }
  http->impl_->exposer.RegisterCollectable(registry.impl_->registry);
  return http;
}

int MetricsHttp::port() const { return impl_->exposer.GetListeningPorts().front(); }

}  // namespace seer
