// One HTTP exchange at a time over libcurl: bounded in time, bytes and redirects, http and https
// only. Keeps its connection for the next exchange with the same host. Not thread-safe: one a
// thread.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace seer {

// Signs the request as AWS signature version 4 for the service s3.
struct AwsSignature {
  std::string access_key;
  std::string secret_key;
  std::string session_token;  // empty: permanent credentials
  std::string region;
};

struct HttpRequest {
  std::string url;
  std::vector<std::string> headers;       // "Name: value"
  std::optional<absl::string_view> put;   // a PUT with this body
  std::optional<absl::string_view> post;  // or a POST with this one; otherwise a GET
  std::optional<AwsSignature> signature;
  absl::Duration connect_timeout = absl::Seconds(10);
  absl::Duration timeout = absl::Minutes(2);  // of the whole exchange
  absl::Duration stall = absl::Seconds(15);   // without a byte
  std::string ca_file;  // certificate authorities as PEM; empty: the machine's
  bool verify_tls = true;
  // Link-local addresses, as of metadata services, are not connected to, whatever name leads there.
  bool refuse_link_local = false;
  int max_redirects = 5;
  int64_t max_bytes = int64_t{64} << 20;  // of the answer's body
};

struct HttpResponse {
  int status = 0;  // 200, 404, ...
  std::string body;
  std::map<std::string, std::string> headers;  // names in lower case; of the last answer
};

class HttpClient {
 public:
  HttpClient();
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;

  // Any answer is OK, whatever its status. UNAVAILABLE: no whole answer (not connected, reset, cut
  // short). DEADLINE_EXCEEDED: `timeout` or `stall`. RESOURCE_EXHAUSTED: the body is above
  // max_bytes; it is not read further. FAILED_PRECONDITION: too many redirects, or to another
  // scheme than http and https. PERMISSION_DENIED: a link-local address. INVALID_ARGUMENT: not a
  // URL of these.
  absl::StatusOr<HttpResponse> Do(const HttpRequest& request);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace seer
