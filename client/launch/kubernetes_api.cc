#include "client/launch/kubernetes_api.h"

#include <unistd.h>
#include <yaml-cpp/yaml.h>

#include <cstdlib>
#include <filesystem>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "client/daemon.h"
#include "client/launch/kubernetes_job.h"
#include "common/base/backoff.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"

namespace seer::client {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr int kAttempts = 4;
constexpr char kOtherWay[] =
    "a token is what it can use (`kubectl create token`); or pipe the manifest into kubectl: `seer "
    "worker launch kubernetes ... --dry-run -o yaml | kubectl create -f -`";

absl::Status NotConfigured(const std::string& message) {
  return Error(absl::StatusCode::kFailedPrecondition, reason::kKubernetesNotConfigured, message)
      .Hint(kOtherWay);
}

std::string Environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

std::string Text(const YAML::Node& node, const char* key) {
  return node.IsMap() && node[key] && node[key].IsScalar() ? node[key].as<std::string>() : "";
}

// The entry of that name in a list of {name, KIND}; undefined: there is none.
YAML::Node Entry(const YAML::Node& file, const char* list, const char* kind,
                 const std::string& name) {
  if (file[list].IsSequence())
    for (const YAML::Node& entry : file[list])
      if (Text(entry, "name") == name && entry[kind] && entry[kind].IsMap()) return entry[kind];
  return YAML::Node(YAML::NodeType::Map);
}

// A secret or certificate that stands in the file itself, or in one that it names.
absl::StatusOr<std::string> Inline(const YAML::Node& node, const char* key,
                                   const fs::path& beside) {
  std::string text;
  if (const std::string data = Text(node, (std::string(key) + "-data").c_str()); !data.empty()) {
    if (!absl::Base64Unescape(data, &text))
      return NotConfigured(absl::StrCat(key, "-data is no base64"));
    return text;
  }
  const std::string file = Text(node, key);
  if (file.empty()) return text;
  text = ReadFile(beside / file);
  if (text.empty()) return NotConfigured(absl::StrCat("cannot read ", file, " of ", key));
  return text;
}

absl::StatusOr<KubernetesAccess> Read(const YAML::Node& file, const std::string& context_name,
                                      const fs::path& beside) {
  const std::string name = context_name.empty() ? Text(file, "current-context") : context_name;
  const YAML::Node context = Entry(file, "contexts", "context", name);
  const YAML::Node cluster = Entry(file, "clusters", "cluster", Text(context, "cluster"));
  const YAML::Node user = Entry(file, "users", "user", Text(context, "user"));
  KubernetesAccess access;
  access.server = Text(cluster, "server");
  if (access.server.empty())
    return NotConfigured(absl::StrCat("context '", name, "' names no cluster with a server"));
  SEER_ASSIGN_OR_RETURN(access.ca, Inline(cluster, "certificate-authority", beside));
  access.verify_tls = Text(cluster, "insecure-skip-tls-verify") != "true";
  if (const std::string space = Text(context, "namespace"); !space.empty())
    access.name_space = space;
  access.token = Text(user, "token");
  if (const std::string path = Text(user, "tokenFile"); access.token.empty() && !path.empty())
    access.token = std::string(absl::StripAsciiWhitespace(ReadFile(beside / path)));
  if (access.token.empty() && user.IsMap() && user.size() > 0)
    return NotConfigured(absl::StrCat("context '", name, "' logs in without a token"));
  return access;
}

struct Kind {
  absl::StatusCode code;
  absl::string_view reason;
  const char* hint;
};
Kind KindOf(int status) {
  using absl::StatusCode;
  switch (status) {
    case 401:
      return {StatusCode::kUnauthenticated, reason::kKubernetesForbidden,
              "the token is not valid, or no longer: renew it"};
    case 403:
      return {StatusCode::kPermissionDenied, reason::kKubernetesForbidden,
              "its owner needs the verbs create and get on jobs of batch in this namespace"};
    case 404:
      return {StatusCode::kNotFound, reason::kKubernetesFailed,
              "is the namespace there? `kubectl get namespaces` shows"};
    case 409:
      return {StatusCode::kAlreadyExists, reason::kKubernetesJobExists,
              "delete that one with `kubectl delete job NAME`, or choose another --name"};
    case 400:
    case 422:
      return {StatusCode::kInvalidArgument, reason::kKubernetesJobInvalid,
              "correct the flag that this is about"};
    default:
      return {StatusCode::kUnavailable, reason::kKubernetesFailed,
              "look at the API server; the same command again is safe"};
  }
}

// What an answer other than success means; the server's own words are in it.
absl::Status Refusal(const HttpResponse& response) {
  const Json body = Json::parse(response.body, nullptr, /*allow_exceptions=*/false);
  std::string words = absl::StrCat("status ", response.status);
  if (body.is_object() && body.contains("message") && body["message"].is_string())
    words = body["message"].get<std::string>();
  const Kind kind = KindOf(response.status);
  return Error(kind.code, kind.reason, absl::StrCat("Kubernetes refuses the job: ", words))
      .Hint(kind.hint);
}

bool IsTransient(int status) { return status == 429 || status >= 500; }

std::string LaunchId(const Json& job) {
  if (!job.is_object() || !job.contains("metadata")) return "";
  const Json& metadata = job["metadata"];
  if (!metadata.contains("annotations")) return "";
  return metadata["annotations"].value(kLaunchIdAnnotation, "");
}

}  // namespace

absl::StatusOr<KubernetesAccess> AccessInCluster(const std::string& folder) {
  KubernetesAccess access;
  const std::string host = Environment("KUBERNETES_SERVICE_HOST");
  access.token = std::string(absl::StripAsciiWhitespace(ReadFile(folder + "/token")));
  if (host.empty() || access.token.empty())
    return NotConfigured("this is no pod with a service account, and there is no kubeconfig");
  const std::string port = Environment("KUBERNETES_SERVICE_PORT");
  const bool v6 = absl::StrContains(host, ":");
  access.server =
      absl::StrCat("https://", v6 ? "[" : "", host, v6 ? "]:" : ":", port.empty() ? "443" : port);
  access.ca = ReadFile(folder + "/ca.crt");
  if (const std::string space(absl::StripAsciiWhitespace(ReadFile(folder + "/namespace")));
      !space.empty())
    access.name_space = space;
  return access;
}

absl::StatusOr<KubernetesAccess> AccessByKubeconfig(const std::string& file,
                                                    const std::string& context) {
  if (!fs::is_regular_file(file)) return NotConfigured(absl::StrCat("no kubeconfig ", file));
  try {
    auto access = Read(YAML::LoadFile(file), context, fs::absolute(file).parent_path());
    if (!access.ok()) return WithContext(access.status(), file);
    return access;
  } catch (const YAML::Exception& error) {
    return NotConfigured(absl::StrCat(file, ": ", error.what()));
  }
}

absl::StatusOr<KubernetesAccess> FindAccess(const std::string& file, const std::string& context) {
  if (!file.empty()) return AccessByKubeconfig(file, context);
  if (const std::string named = Environment("KUBECONFIG"); !named.empty())
    return AccessByKubeconfig(named, context);
  const std::string own = Environment("HOME") + "/.kube/config";
  if (fs::is_regular_file(own)) return AccessByKubeconfig(own, context);
  return AccessInCluster();
}

KubernetesApi::KubernetesApi(KubernetesAccess access, Interrupt& interrupt)
    : access_(std::move(access)), interrupt_(interrupt) {
  if (access_.ca.empty()) return;
  std::string path = (fs::temp_directory_path() / "seer-kube-ca-XXXXXX").string();
  const int fd = ::mkstemp(path.data());
  if (fd < 0) return;
  ca_file_ = path;
  const bool written =
      ::write(fd, access_.ca.data(), access_.ca.size()) == static_cast<ssize_t>(access_.ca.size());
  ::close(fd);
  if (!written) ::truncate(path.c_str(), 0);  // no authority: no server is believed
}

KubernetesApi::~KubernetesApi() {
  if (!ca_file_.empty()) ::unlink(ca_file_.c_str());
}

absl::StatusOr<HttpResponse> KubernetesApi::Send(const std::string& path, const std::string* body) {
  HttpRequest request;
  request.url = absl::StrCat(access_.server, path);
  request.headers = {"Accept: application/json"};
  if (!access_.token.empty())
    request.headers.push_back(absl::StrCat("Authorization: Bearer ", access_.token));
  if (body != nullptr) {
    request.headers.push_back("Content-Type: application/json");
    request.post = *body;
  }
  request.ca_file = ca_file_;
  request.verify_tls = access_.verify_tls;
  request.max_redirects = 0;  // a token goes to the server that it is for, and to no other
  request.timeout = absl::Seconds(30);
  return http_.Do(request);
}

absl::StatusOr<Json> KubernetesApi::CreateJob(const Json& job) {
  const std::string name = job["metadata"]["name"];
  const std::string path = absl::StrCat("/apis/batch/v1/namespaces/", access_.name_space, "/jobs");
  const std::string body = job.dump();
  Backoff backoff(absl::Milliseconds(500), absl::Seconds(5));
  absl::Status last;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    if (attempt > 0 && !interrupt_.SleepFor(backoff.Next()))
      return absl::CancelledError("interrupted");
    const auto response = Send(path, &body);
    if (!response.ok()) {
      last = Error(absl::StatusCode::kUnavailable, reason::kKubernetesFailed,
                   absl::StrCat("cannot reach Kubernetes at ", access_.server, ": ",
                                response.status().message()))
                 .Hint("check the address in the kubeconfig; the same command again is safe");
      continue;
    }
    if (response->status == 409) {  // its own, if an answer was lost
      const auto there = Send(absl::StrCat(path, "/", name), nullptr);
      if (there.ok() && there->status == 200) {
        Json found = Json::parse(there->body, nullptr, /*allow_exceptions=*/false);
        if (LaunchId(found) == LaunchId(job)) return found;
      }
    }
    if (response->status >= 200 && response->status < 300) {
      Json made = Json::parse(response->body, nullptr, /*allow_exceptions=*/false);
      if (made.is_object()) return made;
      return Error(absl::StatusCode::kUnavailable, reason::kKubernetesFailed,
                   absl::StrCat(access_.server, " answers with something that is no job"))
          .Hint("is this an API server of Kubernetes?");
    }
    last = Refusal(*response);
    if (!IsTransient(response->status)) return last;
  }
  return last;
}

}  // namespace seer::client
