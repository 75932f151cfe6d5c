// The Kubernetes Job that runs agents, an index each. Thread-safe: pure functions.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "absl/status/status.h"
#include "client/launch/agents.h"

namespace seer::client {

struct KubernetesOptions {
  AgentOptions agents;
  std::string name_space;        // empty: of the kubeconfig, or of the pod
  std::string image;             // of the worker
  std::string queue;             // of Kueue; empty: none, the Job starts at once
  std::string priority_class;    // of Kueue
  std::string topology;          // label of nodes that all agents must share, for Kueue
  std::string release = "seer";  // of the chart, whose network policies let the agents through
  std::string cpu = "4", memory = "16Gi", shm = "8Gi";
  std::string shared_claim;        // mounted at /srv/seer; empty: none
  std::string environment_secret;  // whose keys become environment variables; empty: none
  std::string tls_secret;          // tls.crt, tls.key, ca.crt; empty: none
  std::string token_secret;        // with the key token; empty: none
  absl::Duration time_limit = absl::ZeroDuration();  // after which Kubernetes ends it; 0: none
};

// Marks who made a Job, so that a call that was cut off and repeated finds its own.
inline constexpr char kLaunchIdAnnotation[] = "seer.io/launch-id";

// INVALID_ARGUMENT: names the flag.
absl::Status CheckKubernetes(const KubernetesOptions& options);

// The manifest. With a queue it is suspended, and Kueue starts it. An agent whose pod is taken away
// (drained node, preemption) begins again in a new one, as often as that happens; one that fails by
// itself does so ten times.
nlohmann::ordered_json KubernetesJob(const KubernetesOptions& options,
                                     const std::string& launch_id);
// As YAML, in which strings that look like numbers stay strings.
std::string ToYaml(const nlohmann::ordered_json& manifest);

}  // namespace seer::client
