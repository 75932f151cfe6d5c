// The coordinator as a whole: builds its parts, serves, and stops them in reverse. Thread-safe.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/rpc/security.h"
#include "coordinator/services/jwt_verifier.h"

namespace seer::coordinator {

class PoolLookup;

struct ServerConfig {
  std::string listen = "127.0.0.1:7070";
  std::string metrics = "127.0.0.1:0";   // empty: no endpoint
  std::string http;                      // of dashboard and HTTP gateway; empty: none
  std::vector<std::string> http_hosts;   // as HttpFrontOptions::hosts
  bool http_client_certificates = true;  // with security.client_ca, callers of http need one, too
  std::string database = "coordinator.db";          // SQLite file, or postgresql:// URL
  absl::Duration keep_logs = absl::Hours(24 * 30);  // of ended jobs; infinite: forever
  std::string logs;                     // of ranks; default: "logs" beside the SQLite file, or here
  std::string storage;                  // root of checkpoints: "file:///dir" or a path
  double storage_low_watermark = 0.05;  // storage is low with less of it free; 0: never
  std::vector<std::string> dataservices;        // host:port of each replica
  absl::Duration lease = absl::Seconds(15);     // a worker that is silent for so long is given up
  absl::Duration heartbeat = absl::Seconds(1);  // period that agents are told
  // Where several share a PostgreSQL database: where others reach this one, default: host:port of
  // `listen`; and how long one that leads may be silent.
  std::string advertise;
  absl::Duration leader_lease = absl::Seconds(5);
  // Its server and its calls to data services. With `authenticate` every caller needs a token.
  SecurityOptions security;
  bool authenticate = false;
  std::string bootstrap_token_file;  // its secret is an admin's; empty: there is none
  OidcOptions oidc;                  // without an issuer: only the cluster's own tokens do
  absl::Duration hello_limit = absl::Seconds(10);  // as AgentStreamsOptions
  std::string webhook_secret_file;  // key that signs posts to webhooks; empty: they are not signed
  // As CoreOptions.
  int cordon_after = 3;
  absl::Duration cordon_window = absl::Hours(1);
  absl::Duration hang_after = absl::Seconds(30);
  absl::Duration keep_devices = absl::Seconds(30);
  absl::Duration grow_after = absl::Seconds(30);
  absl::Duration grow_every = absl::Minutes(5);
  absl::Duration keep_jobs = absl::Hours(24 * 90);
  absl::Duration keep_events = absl::Hours(24 * 90);
};

class CoordinatorServer {
 public:
  // Serves at once; leads now with a SQLite file, when it gets the lease with PostgreSQL.
  // ALREADY_EXISTS with PORT_IN_USE; errors of OpenDatabase and OpenStore;
  // INVALID_ARGUMENT: the configuration.
  static absl::StatusOr<std::unique_ptr<CoordinatorServer>> Start(const ServerConfig& config);
  // The same, with `pools` instead of the data services.
  static absl::StatusOr<std::unique_ptr<CoordinatorServer>> Start(
      const ServerConfig& config, std::unique_ptr<PoolLookup> pools);
  virtual ~CoordinatorServer() = default;  // drains, then stops
  virtual int port() const = 0;
  virtual int metrics_port() const = 0;  // 0: no endpoint
  virtual int http_port() const = 0;     // 0: none
};

}  // namespace seer::coordinator
