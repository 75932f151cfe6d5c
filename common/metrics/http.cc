#include "common/metrics/http.h"

#include <arpa/inet.h>
#include <prometheus/exposer.h>
#include <sys/socket.h>
#include <unistd.h>

#include <exception>
#include <memory>

#include "absl/strings/str_cat.h"
#include "common/base/address.h"
#include "common/base/error.h"
#include "common/base/periodic_thread.h"
#include "common/base/status_macros.h"
#include "common/metrics/registry_impl.h"

namespace seer {
namespace {

constexpr absl::Duration kWakePeriod = absl::Milliseconds(20);

// Opens and closes a connection to the loopback; whether anybody listens there does not matter.
void Touch(int port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return;
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address));
  ::close(fd);
}

}  // namespace

struct MetricsHttp::Impl {
  explicit Impl(const std::string& address)
      : exposer(std::make_unique<prometheus::Exposer>(address, /*num_threads=*/2)) {}
  std::unique_ptr<prometheus::Exposer> exposer;
};

MetricsHttp::MetricsHttp() = default;

// civetweb looks whether it is to stop when its poll of the port returns, after 2 s if nobody
// calls: connections until it has stopped end the wait at once.
MetricsHttp::~MetricsHttp() {
  if (!impl_) return;
  PeriodicThread waker("metrics-stop", kWakePeriod, kWakePeriod,
                       [own_port = port()] { Touch(own_port); });
  impl_->exposer.reset();
}

absl::StatusOr<std::unique_ptr<MetricsHttp>> MetricsHttp::Start(const std::string& address,
                                                                MetricsRegistry& registry) {
  SEER_RETURN_IF_ERROR(ReadListenAddress("--metrics", address).status());
  std::unique_ptr<MetricsHttp> http(new MetricsHttp());
  try {
    http->impl_ = std::make_unique<Impl>(address);
  } catch (const std::exception&) {  // whose text names civetweb and no cause
    return Error(absl::StatusCode::kAlreadyExists, reason::kPortInUse,
                 absl::StrCat("cannot serve metrics on ", address,
                              ": the port is in use or not allowed"))
        .Field("metrics")
        .Hint("choose another port with --metrics HOST:PORT, or port 0 for any free one");
  }
  http->impl_->exposer->RegisterCollectable(registry.impl_);
  return http;
}

int MetricsHttp::port() const { return impl_->exposer->GetListeningPorts().front(); }

}  // namespace seer
