#include "tests/support/s3_server.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <nlohmann/json.hpp>

#include "absl/strings/numbers.h"
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

S3Server::S3Server(bool signed_only) {
  int in[2], out[2];
  SEER_CHECK(::pipe2(in, O_CLOEXEC) == 0 && ::pipe2(out, O_CLOEXEC) == 0) << "no pipe";
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, in[0], STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
  const char* const source = std::getenv("SEER_SOURCE_DIR");  // set by ctest
  const std::string script =
      absl::StrCat(source == nullptr ? "." : source, "/tests/support/faulty_s3.py");
  std::string arguments[] = {SEER_PYTHON, script,         "--access-key",
                             kAccessKey,  "--secret-key", kSecretKey};
  char* argv[7] = {};
  for (int i = 0; i < (signed_only ? 6 : 2); ++i) argv[i] = arguments[i].data();
  SEER_CHECK(::posix_spawn(&pid_, SEER_PYTHON, &actions, nullptr, argv, environ) == 0)
      << "cannot start " << SEER_PYTHON;
  posix_spawn_file_actions_destroy(&actions);
  ::close(in[0]);
  ::close(out[1]);
  stdin_ = in[1];
  std::string line;
  for (char c; ::read(out[0], &c, 1) == 1 && c != '\n';) line += c;
  ::close(out[0]);
  SEER_CHECK(absl::SimpleAtoi(line, &port_))
      << script << " said '" << line << "' instead of its port: run ./deploy/deps again";
}

S3Server::~S3Server() {
  ::close(stdin_);
  ::waitpid(pid_, nullptr, 0);
}

std::string S3Server::Address() const { return absl::StrCat("127.0.0.1:", port_); }
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
