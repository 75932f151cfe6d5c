// The API server of a Kubernetes cluster, as far as launching needs it. Not thread-safe: one HTTP
// connection.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "absl/status/statusor.h"
#include "client/interrupt.h"
#include "common/http/http_client.h"

namespace seer::client {

struct KubernetesAccess {
  std::string server;  // https://HOST:PORT
  std::string token;   // empty: none
  std::string ca;      // certificate authorities as PEM; empty: the machine's
  bool verify_tls = true;
  std::string name_space = "default";
};

// Of a pod, from its service account in `folder` and KUBERNETES_SERVICE_HOST and _PORT.
inline constexpr char kServiceAccount[] = "/var/run/secrets/kubernetes.io/serviceaccount";
absl::StatusOr<KubernetesAccess> AccessInCluster(const std::string& folder = kServiceAccount);

// Of a kubeconfig's current context, or of the one that is named. FAILED_PRECONDITION with
// KUBERNETES_NOT_CONFIGURED: the file is not there, lacks something, or logs in by other means than
// a token.
absl::StatusOr<KubernetesAccess> AccessByKubeconfig(const std::string& file,
                                                    const std::string& context);

// `file` if it is not empty, else $KUBECONFIG, else ~/.kube/config if it is there, else that of the
// pod.
absl::StatusOr<KubernetesAccess> FindAccess(const std::string& file, const std::string& context);

class KubernetesApi {
 public:
  // `interrupt` must outlive it.
  KubernetesApi(KubernetesAccess access, Interrupt& interrupt);
  ~KubernetesApi();
  KubernetesApi(const KubernetesApi&) = delete;

  // Creates the Job, and again while the server is away or too busy: four times in all. One of the
  // same name with the same launch id counts as this call's. Returns it as the server has it.
  // ALREADY_EXISTS with KUBERNETES_JOB_EXISTS, PERMISSION_DENIED and UNAUTHENTICATED with
  // KUBERNETES_FORBIDDEN, INVALID_ARGUMENT with KUBERNETES_JOB_INVALID, UNAVAILABLE and NOT_FOUND
  // with KUBERNETES_FAILED. CANCELLED: Ctrl-C.
  absl::StatusOr<nlohmann::ordered_json> CreateJob(const nlohmann::ordered_json& job);
  const std::string& name_space() const { return access_.name_space; }

 private:
  absl::StatusOr<HttpResponse> Send(const std::string& path, const std::string* body);

  const KubernetesAccess access_;
  Interrupt& interrupt_;
  std::string ca_file_;  // a file that the destructor removes
  HttpClient http_;
};

}  // namespace seer::client
