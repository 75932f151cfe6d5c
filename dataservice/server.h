// The data service as a whole: builds its parts, serves, and stops them in reverse. Thread-safe.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/rpc/security.h"

namespace seer::dataservice {

struct ServerConfig {
  std::string listen = "127.0.0.1:7080";
  std::string metrics = "127.0.0.1:0";
  std::string pools;  // as OpenStore: "file:///dir", "s3://bucket/prefix"; pool P lives in <it>/P
  int threads = 0;    // that decode; 0: the machine's cores
  // With `authenticate` every caller needs a token, which `coordinators` (host:port, of several all
  // with commas) know.
  SecurityOptions security;
  bool authenticate = false;
  std::string coordinators;
  std::string slot_folder = "/dev/shm";  // where readers on this machine have their shared memory
};

// INVALID_ARGUMENT: config.threads is out of range.
absl::StatusOr<int> ThreadsOf(const ServerConfig& config);

class DataServer {
 public:
  // ALREADY_EXISTS with PORT_IN_USE. INVALID_ARGUMENT: the configuration.
  static absl::StatusOr<std::unique_ptr<DataServer>> Start(const ServerConfig& config);
  virtual ~DataServer() = default;  // drains, then stops
  virtual int port() const = 0;
  virtual int metrics_port() const = 0;
};

}  // namespace seer::dataservice
