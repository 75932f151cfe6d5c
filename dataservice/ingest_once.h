// `seer-dataservice ingest`: fills a pool without a service that runs, for batch systems which
// start the same command many times, such as arrays of Slurm and indexed jobs of Kubernetes.
#pragma once

#include <string>

#include "dataservice/ingest/ingest.h"

namespace seer::dataservice {

struct OnceConfig {
  std::string pools;  // as ServerConfig
  std::string pool;
  IngestOptions ingest;
};

// Says how it goes on stderr, every 10 s, and what came of it on stdout. Errors of OpenStore and
// IngestIntoPool. CANCELLED: SIGTERM or SIGINT came; the same call goes on.
absl::Status IngestOnce(const OnceConfig& config);

}  // namespace seer::dataservice
