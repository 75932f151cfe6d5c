#include "tests/support/s3_server.h"

#include <cstdlib>
#include <nlohmann/json.hpp>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/http/http_client.h"

namespace seer::testing {
namespace {

HttpResponse Control(const std::string& address, const HttpRequest& parts) {
  HttpRequest request = parts;
  request.url = absl::StrCat("http://", address, "/_faults");
  const auto response = HttpClient().Do(request);
  SEER_CHECK(response.ok() && response->status == 200) << response.status();
  return *response;
}

}  // namespace

S3Server::S3Server(bool signed_only)
    : server_("faulty_s3.py", signed_only ? std::vector<std::string>{"--access-key", kAccessKey,
                                                                     "--secret-key", kSecretKey}
                                          : std::vector<std::string>{}) {}

std::string S3Server::Address() const { return absl::StrCat("127.0.0.1:", server_.port()); }
std::string S3Server::Uri(const std::string& prefix) const {
  return absl::StrCat("s3://pools/", prefix,
                      "?region=us-east-1&scheme=http&endpoint_override=", Address());
}
std::string S3Server::HttpUrl(const std::string& key) const {
  return absl::StrCat("http://", Address(), "/pools/", key);
}

void S3Server::SetFaults(const std::string& json) const {
  HttpRequest request;
  request.put = json;
  Control(Address(), request);
}

int64_t S3Server::Count(const std::string& what) const {
  return nlohmann::json::parse(Control(Address(), {}).body).value(what, int64_t{0});
}

void UseCredentials(const std::string& access_key, const std::string& secret_key) {
  UseNoCredentials();
  ::setenv("AWS_ACCESS_KEY_ID", access_key.c_str(), 1);
  ::setenv("AWS_SECRET_ACCESS_KEY", secret_key.c_str(), 1);
}

void UseNoCredentials() {
  for (const char* name : {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN",
                           "AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL",
                           "AWS_ENDPOINT_URL_S3", "http_proxy"})
    ::unsetenv(name);
  ::setenv("AWS_CONFIG_FILE", "/dev/null", 1);
  ::setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null", 1);
  ::setenv("AWS_EC2_METADATA_DISABLED", "true", 1);
}

}  // namespace seer::testing
