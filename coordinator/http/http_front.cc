#include "coordinator/http/http_front.h"

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/rpc/security.h"
#include "common/rpc/status_grpc.h"
#include "coordinator/http/files.h"
#include "coordinator/http/http_error.h"

namespace seer::coordinator {
namespace {

const std::set<std::string>& LoopbackNames() {
  static const auto* names = new std::set<std::string>{"localhost", "127.0.0.1", "[::1]"};
  return *names;
}

// "host:port" -> "host", in lower case.
std::string HostOf(absl::string_view authority) {
  const size_t colon = authority.rfind(':');
  if (colon != absl::string_view::npos && authority.find(']', colon) == absl::string_view::npos)
    authority = authority.substr(0, colon);
  return absl::AsciiStrToLower(authority);
}

}  // namespace

HttpFront::HttpFront(const HttpFrontOptions& options, std::shared_ptr<grpc::Channel> coordinator,
                     std::shared_ptr<grpc::Channel> dataservice)
    : loopback_(IsLoopback(HostOf(options.server.address))),
      gateway_(std::move(coordinator), std::move(dataservice)) {
  for (const std::string& host : options.hosts) hosts_.insert(absl::AsciiStrToLower(host));
  if (loopback_) hosts_.insert(HostOf(options.server.address));
}

absl::StatusOr<std::unique_ptr<HttpFront>> HttpFront::Start(
    HttpFrontOptions options, std::shared_ptr<grpc::Channel> coordinator,
    std::shared_ptr<grpc::Channel> dataservice) {
  std::unique_ptr<HttpFront> front(
      new HttpFront(options, std::move(coordinator), std::move(dataservice)));
  SEER_ASSIGN_OR_RETURN(front->server_,
                        HttpServer::Start(
                            std::move(options.server),
                            [front = front.get()](std::shared_ptr<HttpExchange> exchange) {
                              front->Handle(std::move(exchange));
                            },
                            Refusal));
  return front;
}

HttpFront::~HttpFront() {
  if (server_) server_->Stop();
  gateway_.Stop();
}

absl::Status HttpFront::CheckOrigin(const HttpCallerRequest& request) const {
  const auto header = [&](const char* name) {
    const auto it = request.headers.find(name);
    return it == request.headers.end() ? std::string() : it->second;
  };
  const std::string host = HostOf(header("host"));
  const auto refuse = [](const std::string& text) {
    return Error(absl::StatusCode::kPermissionDenied, reason::kForeignOrigin, text)
        .Hint("open the dashboard by the server's own address, or name the host with --http-host");
  };
  if (loopback_ && LoopbackNames().count(host) == 0 && hosts_.count(host) == 0)
    return refuse(absl::StrCat("'", host, "' is not a name of this server"));
  const std::string origin = header("origin");
  if (origin.empty()) return absl::OkStatus();
  const size_t scheme = origin.find("://");  // "null" has none
  const std::string authority = scheme == std::string::npos ? "" : origin.substr(scheme + 3);
  if (absl::EqualsIgnoreCase(authority, header("host")) || hosts_.count(HostOf(authority)) > 0)
    return absl::OkStatus();
  return refuse(absl::StrCat("a page of ", origin, " may not call this server"));
}

void HttpFront::Handle(std::shared_ptr<HttpExchange> exchange) {
  const HttpCallerRequest& request = exchange->request();
  if (const absl::Status good = CheckOrigin(request); !good.ok())
    return exchange->Answer(ErrorAnswer(ToGrpc(good)));
  const ServedFile* file = request.method == "GET" ? FindFile(request.path) : nullptr;
  if (file == nullptr) return gateway_.Handle(std::move(exchange));
  HttpHeaders headers = CommonHeaders(std::string(file->content_type));
  headers.emplace_back("Content-Security-Policy",
                       "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; "
                       "base-uri 'none'; form-action 'none'");
  exchange->Answer({200, std::move(headers), std::string(file->bytes)});
}

}  // namespace seer::coordinator
