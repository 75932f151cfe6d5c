// The /metrics endpoint. Owns its server threads; the destructor stops them.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/metrics/registry.h"

namespace seer {

class MetricsHttp {
 public:
  // `registry` must outlive it. `address` "host:port", port 0: any.
  // ALREADY_EXISTS with PORT_IN_USE.
  static absl::StatusOr<std::unique_ptr<MetricsHttp>> Start(const std::string& address,
                                                            MetricsRegistry& registry);
  ~MetricsHttp();
  int port() const;

 private:
  MetricsHttp();
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace seer
