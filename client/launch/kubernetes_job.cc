#include "client/launch/kubernetes_job.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <array>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"

namespace seer::client {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kUser = 10001;  // of the images
constexpr int kFailuresOfAnAgent = 10;

absl::Status Missing(const char* flag, const char* what) {
  return Error(absl::StatusCode::kInvalidArgument, reason::kMissingField,
               absl::StrCat("--", flag, " is not set: ", what))
      .Field(flag);
}

absl::Status CheckQuantity(const char* flag, const std::string& quantity) {
  const size_t digits = quantity.find_first_not_of("0123456789.");
  const std::string unit = digits == std::string::npos ? "" : quantity.substr(digits);
  if (!quantity.empty() && digits != 0 &&
      (unit.empty() || unit == "m" || unit == "Ki" || unit == "Mi" || unit == "Gi" || unit == "Ti"))
    return absl::OkStatus();
  return Error(absl::StatusCode::kInvalidArgument, reason::kInvalidArgument,
               absl::StrCat("--", flag, " is '", quantity, "', no quantity as 500m, 4 or 16Gi"))
      .Field(flag);
}

Json FromField(const char* name, const char* path) {
  return {{"name", name}, {"valueFrom", {{"fieldRef", {{"fieldPath", path}}}}}};
}

void Mount(Json& container, Json& volumes, const std::string& name, const std::string& path,
           Json source, bool read_only = false) {
  Json mount = {{"name", name}, {"mountPath", path}};
  if (read_only) mount["readOnly"] = true;
  container["volumeMounts"].push_back(std::move(mount));
  Json volume = {{"name", name}};
  volume.update(source);
  volumes.push_back(std::move(volume));
}

Json FromSecret(const std::string& name) {
  return {{"secret", {{"secretName", name}, {"defaultMode", 0440}}}};
}

Json PodSpec(const KubernetesOptions& options) {
  const AgentOptions& agents = options.agents;
  Json resources = {{"cpu", options.cpu}, {"memory", options.memory}};
  if (agents.gpus > 0) resources["nvidia.com/gpu"] = absl::StrCat(agents.gpus);
  Json arguments = WorkerFlags(agents);
  arguments.push_back(absl::StrCat("--name=", agents.name, "-$(AGENT_INDEX)"));
  arguments.push_back("--address=$(POD_IP)");
  arguments.push_back("--work-dir=/var/lib/seer-worker");
  arguments.push_back("--metrics=0.0.0.0:9090");
  arguments.push_back("--log-format=json");
  Json container = {
      {"name", "worker"},
      {"image", options.image},
      {"args", nullptr},
      {"env",
       {FromField("POD_IP", "status.podIP"),
        FromField("AGENT_INDEX", "metadata.labels['batch.kubernetes.io/job-completion-index']")}},
      {"ports", {{{"name", "metrics"}, {"containerPort", 9090}}}},
      {"livenessProbe",
       {{"httpGet", {{"path", "/metrics"}, {"port", "metrics"}}},
        {"periodSeconds", 10},
        {"timeoutSeconds", 5},
        {"failureThreshold", 6}}},
      {"resources", {{"requests", resources}, {"limits", resources}}},
      {"securityContext",
       {{"allowPrivilegeEscalation", false},
        {"readOnlyRootFilesystem", true},
        {"runAsNonRoot", true},
        {"capabilities", {{"drop", Json::array({"ALL"})}}}}},
      {"volumeMounts", Json::array()}};
  Json volumes = Json::array();
  Mount(container, volumes, "tmp", "/tmp", {{"emptyDir", {{"sizeLimit", "20Gi"}}}});
  Mount(container, volumes, "work", "/var/lib/seer-worker", {{"emptyDir", {{"sizeLimit", "1Gi"}}}});
  Mount(container, volumes, "shm", "/dev/shm",
        {{"emptyDir", {{"medium", "Memory"}, {"sizeLimit", options.shm}}}});
  if (!options.shared_claim.empty()) {
    Mount(container, volumes, "shared", "/srv/seer",
          {{"persistentVolumeClaim", {{"claimName", options.shared_claim}}}});
  }
  if (!options.environment_secret.empty())
    container["envFrom"] = Json::array({{{"secretRef", {{"name", options.environment_secret}}}}});
  if (!options.tls_secret.empty()) {
    Mount(container, volumes, "tls", "/etc/seer/tls", FromSecret(options.tls_secret), true);
    arguments.push_back("--tls-cert=/etc/seer/tls/tls.crt");
    arguments.push_back("--tls-key=/etc/seer/tls/tls.key");
    arguments.push_back("--tls-ca=/etc/seer/tls/ca.crt");
  }
  if (!options.token_secret.empty()) {
    Mount(container, volumes, "token", "/etc/seer/token", FromSecret(options.token_secret), true);
    arguments.push_back("--token-file=/etc/seer/token/token");
  }
  container["args"] = std::move(arguments);
  Json spec = {{"restartPolicy", "Never"},
               {"serviceAccountName", options.release},
               {"automountServiceAccountToken", false},
               {"enableServiceLinks", false},
               {"terminationGracePeriodSeconds", absl::ToInt64Seconds(agents.grace + kAfterGrace)},
               {"securityContext",
                {{"runAsNonRoot", true},
                 {"runAsUser", kUser},
                 {"runAsGroup", kUser},
                 {"fsGroup", kUser},
                 {"fsGroupChangePolicy", "OnRootMismatch"},
                 {"seccompProfile", {{"type", "RuntimeDefault"}}}}}};
  if (agents.gpus > 0) {
    spec["tolerations"] = Json::array(
        {{{"key", "nvidia.com/gpu"}, {"operator", "Exists"}, {"effect", "NoSchedule"}}});
  }
  spec["containers"] = Json::array({std::move(container)});
  spec["volumes"] = std::move(volumes);
  return spec;
}

// Whether YAML reads it as a string without quotes.
bool IsPlain(const std::string& text) {
  static constexpr std::array<absl::string_view, 8> kWords = {"true", "false", "yes",  "no",
                                                              "on",   "off",   "null", "y"};
  if (text.empty() || !(absl::ascii_isalpha(text[0]) || text[0] == '/' || text[0] == '-'))
    return false;
  const std::string lower = absl::AsciiStrToLower(text);
  return lower != "n" && std::find(kWords.begin(), kWords.end(), lower) == kWords.end();
}

void Emit(const Json& value, YAML::Emitter& out) {
  if (value.is_object()) {
    out << YAML::BeginMap;
    for (const auto& [key, item] : value.items()) {
      out << YAML::Key << key << YAML::Value;
      Emit(item, out);
    }
    out << YAML::EndMap;
  } else if (value.is_array()) {
    out << YAML::BeginSeq;
    for (const Json& item : value) Emit(item, out);
    out << YAML::EndSeq;
  } else if (value.is_string()) {
    const std::string text = value.get<std::string>();
    if (!IsPlain(text)) out << YAML::DoubleQuoted;
    out << text;
  } else {
    out << value.dump();  // numbers, true, false, null
  }
}

}  // namespace

std::string ToYaml(const Json& manifest) {
  YAML::Emitter out;
  Emit(manifest, out);
  return absl::StrCat(out.c_str(), "\n");
}

absl::Status CheckKubernetes(const KubernetesOptions& options) {
  SEER_RETURN_IF_ERROR(CheckAgents(options.agents));
  SEER_RETURN_IF_ERROR(CheckReachable(options.agents));  // a pod has a loopback of its own
  if (options.image.empty())
    return Missing("image", "the worker's image, as registry.example.org/seer/worker-cuda:0.1.0");
  SEER_RETURN_IF_ERROR(CheckQuantity("cpu", options.cpu));
  SEER_RETURN_IF_ERROR(CheckQuantity("memory", options.memory));
  SEER_RETURN_IF_ERROR(CheckQuantity("shm", options.shm));
  if (options.queue.empty() && (!options.topology.empty() || !options.priority_class.empty()))
    return Missing("queue", "--topology and --priority-class are for Kueue");
  return absl::OkStatus();
}

Json KubernetesJob(const KubernetesOptions& options, const std::string& launch_id) {
  const AgentOptions& agents = options.agents;
  const Json labels = {{"app.kubernetes.io/name", "seer"},
                       {"app.kubernetes.io/instance", options.release},
                       {"app.kubernetes.io/component", "worker"},
                       {"app.kubernetes.io/part-of", "seer"}};
  Json metadata = {{"name", agents.name}};
  if (!options.name_space.empty()) metadata["namespace"] = options.name_space;
  metadata["labels"] = labels;
  if (!options.queue.empty()) metadata["labels"]["kueue.x-k8s.io/queue-name"] = options.queue;
  if (!options.priority_class.empty())
    metadata["labels"]["kueue.x-k8s.io/priority-class"] = options.priority_class;
  metadata["annotations"] = {{kLaunchIdAnnotation, launch_id}};
  Json pod = {{"metadata", {{"labels", labels}}}};
  if (!options.topology.empty())
    pod["metadata"]["annotations"] = {
        {"kueue.x-k8s.io/podset-required-topology", options.topology}};
  pod["spec"] = PodSpec(options);
  Json spec = {{"completions", agents.count},
               {"parallelism", agents.count},
               {"completionMode", "Indexed"},
               {"suspend", !options.queue.empty()},
               {"backoffLimitPerIndex", kFailuresOfAnAgent},
               {"maxFailedIndexes", agents.count},
               {"podReplacementPolicy", "Failed"},
               {"ttlSecondsAfterFinished", 24 * 60 * 60}};
  if (options.time_limit > absl::ZeroDuration())
    spec["activeDeadlineSeconds"] = absl::ToInt64Seconds(options.time_limit);
  spec["podFailurePolicy"] = {
      {"rules", Json::array({{{"action", "Ignore"},
                              {"onPodConditions",
                               Json::array({{{"type", "DisruptionTarget"}, {"status", "True"}}})}},
                             {{"action", "Ignore"},
                              {"onExitCodes",
                               {{"containerName", "worker"},
                                {"operator", "In"},
                                {"values", Json::array({kDrainedExitCode})}}}}})}};
  spec["template"] = std::move(pod);
  return {{"apiVersion", "batch/v1"}, {"kind", "Job"}, {"metadata", metadata}, {"spec", spec}};
}

}  // namespace seer::client
