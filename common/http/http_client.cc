#include "common/http/http_client.h"

#include <curl/curl.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/base/check.h"

namespace seer {
namespace {

constexpr char kSchemes[] = "http,https";

struct Exchange {
  const HttpRequest& request;
  HttpResponse response;
  bool too_large = false;
  bool refused = false;  // the address
  size_t sent = 0;
};

size_t OnBody(char* data, size_t size, size_t count, void* user) {
  Exchange& exchange = *static_cast<Exchange*>(user);
  const size_t bytes = size * count;
  exchange.too_large =
      static_cast<int64_t>(exchange.response.body.size() + bytes) > exchange.request.max_bytes;
  if (exchange.too_large) return 0;  // ends the transfer
  exchange.response.body.append(data, bytes);
  return bytes;
}

size_t OnHeader(char* data, size_t size, size_t count, void* user) {
  Exchange& exchange = *static_cast<Exchange*>(user);
  const absl::string_view line(data, size * count);
  if (absl::StartsWith(line, "HTTP/")) exchange.response.headers.clear();  // of a redirect
  const size_t colon = line.find(':');
  if (colon != absl::string_view::npos)
    exchange.response.headers[absl::AsciiStrToLower(line.substr(0, colon))] =
        std::string(absl::StripAsciiWhitespace(line.substr(colon + 1)));
  return line.size();
}

size_t OnUpload(char* out, size_t size, size_t count, void* user) {
  Exchange& exchange = *static_cast<Exchange*>(user);
  const absl::string_view rest = exchange.request.put->substr(exchange.sent);
  const size_t bytes = std::min(rest.size(), size * count);
  std::memcpy(out, rest.data(), bytes);
  exchange.sent += bytes;
  return bytes;
}

// 169.254.0.0/16, fe80::/10, and AWS's fd00:ec2::/32; also as an IPv4 address within an IPv6 one.
bool IsLinkLocal(const sockaddr& address) {
  if (address.sa_family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(address);
    return (ntohl(v4.sin_addr.s_addr) >> 16) == 0xA9FE;
  }
  if (address.sa_family != AF_INET6) return false;
  const uint8_t* const b = reinterpret_cast<const sockaddr_in6&>(address).sin6_addr.s6_addr;
  const bool mapped = std::all_of(b, b + 10, [](uint8_t x) { return x == 0; }) && b[10] == 0xFF &&
                      b[11] == 0xFF && b[12] == 169 && b[13] == 254;
  return mapped || (b[0] == 0xFE && (b[1] & 0xC0) == 0x80) ||
         (b[0] == 0xFD && b[1] == 0x00 && b[2] == 0x0E && b[3] == 0xC2);
}

curl_socket_t OnSocket(void* user, curlsocktype, curl_sockaddr* address) {
  Exchange& exchange = *static_cast<Exchange*>(user);
  exchange.refused = exchange.refused || IsLinkLocal(address->addr);
  if (exchange.refused) return CURL_SOCKET_BAD;
  return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

absl::StatusCode CodeOf(CURLcode code) {
  switch (code) {
    case CURLE_OPERATION_TIMEDOUT:
      return absl::StatusCode::kDeadlineExceeded;
    case CURLE_TOO_MANY_REDIRECTS:
      return absl::StatusCode::kFailedPrecondition;
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_URL_MALFORMAT:
      return absl::StatusCode::kInvalidArgument;
    case CURLE_FILESIZE_EXCEEDED:
      return absl::StatusCode::kResourceExhausted;
    default:
      return absl::StatusCode::kUnavailable;
  }
}

}  // namespace

struct HttpClient::Impl {
  CURL* curl = nullptr;
  char error[CURL_ERROR_SIZE] = "";
};

HttpClient::HttpClient() : impl_(std::make_unique<Impl>()) {
  static const CURLcode initialized = curl_global_init(CURL_GLOBAL_DEFAULT);  // once a process
  SEER_CHECK(initialized == CURLE_OK) << "libcurl does not start";
  impl_->curl = curl_easy_init();
  SEER_CHECK(impl_->curl != nullptr) << "libcurl has no memory";
}

HttpClient::~HttpClient() { curl_easy_cleanup(impl_->curl); }

absl::StatusOr<HttpResponse> HttpClient::Do(const HttpRequest& request) {
  CURL* const curl = impl_->curl;
  Exchange exchange{request, {}};
  curl_easy_reset(curl);  // options only: connections stay
  impl_->error[0] = '\0';
  const auto set = [&](CURLoption option, auto value) { curl_easy_setopt(curl, option, value); };
  set(CURLOPT_ERRORBUFFER, impl_->error);
  set(CURLOPT_NOSIGNAL, 1L);
  set(CURLOPT_URL, request.url.c_str());
  set(CURLOPT_PROTOCOLS_STR, kSchemes);
  set(CURLOPT_REDIR_PROTOCOLS_STR, kSchemes);
  set(CURLOPT_FOLLOWLOCATION, request.max_redirects > 0 ? 1L : 0L);
  set(CURLOPT_MAXREDIRS, static_cast<long>(request.max_redirects));
  set(CURLOPT_CONNECTTIMEOUT_MS,
      static_cast<long>(absl::ToInt64Milliseconds(request.connect_timeout)));
  set(CURLOPT_TIMEOUT_MS, static_cast<long>(absl::ToInt64Milliseconds(request.timeout)));
  set(CURLOPT_LOW_SPEED_LIMIT, 1L);
  set(CURLOPT_LOW_SPEED_TIME, std::max(1L, static_cast<long>(absl::ToInt64Seconds(request.stall))));
  set(CURLOPT_MAXFILESIZE_LARGE, static_cast<curl_off_t>(request.max_bytes));
  if (!request.ca_file.empty()) set(CURLOPT_CAINFO, request.ca_file.c_str());
  if (!request.verify_tls) {
    set(CURLOPT_SSL_VERIFYPEER, 0L);
    set(CURLOPT_SSL_VERIFYHOST, 0L);
  }
  set(CURLOPT_USERAGENT, "seer/" SEER_VERSION);
  set(CURLOPT_WRITEFUNCTION, &OnBody);
  set(CURLOPT_WRITEDATA, &exchange);
  set(CURLOPT_HEADERFUNCTION, &OnHeader);
  set(CURLOPT_HEADERDATA, &exchange);
  curl_slist* headers = nullptr;
  const auto add = [&](const std::string& header) {
    headers = curl_slist_append(headers, header.c_str());
  };
  for (const std::string& header : request.headers) add(header);
  if (request.put) {
    set(CURLOPT_UPLOAD, 1L);
    set(CURLOPT_READFUNCTION, &OnUpload);
    set(CURLOPT_READDATA, &exchange);
    set(CURLOPT_INFILESIZE_LARGE, static_cast<curl_off_t>(request.put->size()));
    add("Expect:");  // the body goes at once
  }
  if (request.post) {
    set(CURLOPT_POST, 1L);
    set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.post->size()));
    set(CURLOPT_POSTFIELDS, request.post->data());
    add("Expect:");
  }
  if (request.refuse_link_local) {
    set(CURLOPT_OPENSOCKETFUNCTION, &OnSocket);
    set(CURLOPT_OPENSOCKETDATA, &exchange);
  }
  std::string user, scope;
  if (request.signature) {
    const AwsSignature& key = *request.signature;
    scope = absl::StrCat("aws:amz:", key.region, ":s3");
    user = absl::StrCat(key.access_key, ":", key.secret_key);
    set(CURLOPT_AWS_SIGV4, scope.c_str());
    set(CURLOPT_USERPWD, user.c_str());
    add("x-amz-content-sha256: UNSIGNED-PAYLOAD");
    if (!key.session_token.empty()) add(absl::StrCat("x-amz-security-token: ", key.session_token));
  }
  set(CURLOPT_HTTPHEADER, headers);
  const CURLcode code = curl_easy_perform(curl);
  curl_slist_free_all(headers);
  if (exchange.refused)
    return absl::PermissionDeniedError("it leads to a link-local address, which is not asked");
  if (exchange.too_large || code == CURLE_FILESIZE_EXCEEDED) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the answer has more than ", request.max_bytes, " bytes"));
  }
  if (code != CURLE_OK) {
    return absl::Status(CodeOf(code), impl_->error[0] != '\0'
                                          ? absl::string_view(impl_->error)
                                          : absl::string_view(curl_easy_strerror(code)));
  }
  long status = 0;
  curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
  exchange.response.status = static_cast<int>(status);
  return std::move(exchange.response);
}

}  // namespace seer
