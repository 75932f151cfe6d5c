#include "coordinator/http/http_error.h"

#include <google/protobuf/util/json_util.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/rpc/status_grpc.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

namespace seer::coordinator {

int HttpStatus(grpc::StatusCode code) {
  switch (code) {
    case grpc::StatusCode::OK:
      return 200;
    case grpc::StatusCode::CANCELLED:
      return 499;
    case grpc::StatusCode::INVALID_ARGUMENT:
    case grpc::StatusCode::FAILED_PRECONDITION:
    case grpc::StatusCode::OUT_OF_RANGE:
      return 400;
    case grpc::StatusCode::DEADLINE_EXCEEDED:
      return 504;
    case grpc::StatusCode::NOT_FOUND:
      return 404;
    case grpc::StatusCode::ALREADY_EXISTS:
    case grpc::StatusCode::ABORTED:
      return 409;
    case grpc::StatusCode::PERMISSION_DENIED:
      return 403;
    case grpc::StatusCode::UNAUTHENTICATED:
      return 401;
    case grpc::StatusCode::RESOURCE_EXHAUSTED:
      return 429;
    case grpc::StatusCode::UNIMPLEMENTED:
      return 501;
    case grpc::StatusCode::UNAVAILABLE:
      return 503;
    default:
      return 500;
  }
}

std::string ErrorJson(const grpc::Status& status) {
  google::rpc::Status rich;
  rich.ParseFromString(status.error_details());
  nlohmann::json details = nlohmann::json::array();
  for (const auto& detail : rich.details()) {
    std::string text;
    if (google::protobuf::util::MessageToJsonString(detail, &text).ok())
      details.push_back(nlohmann::json::parse(text, nullptr, false));
  }
  const nlohmann::json error = {
      {"error",
       {{"code", HttpStatus(status.error_code())},
        {"status", absl::StatusCodeToString(static_cast<absl::StatusCode>(status.error_code()))},
        {"message", status.error_message()},
        {"details", std::move(details)}}}};
  return error.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

HttpHeaders CommonHeaders(const std::string& content_type) {
  return {{"Content-Type", content_type},
          {"Cache-Control", "no-store"},
          {"X-Content-Type-Options", "nosniff"},
          {"X-Frame-Options", "DENY"},
          {"Referrer-Policy", "no-referrer"}};
}

HttpAnswer ErrorAnswer(const grpc::Status& status) {
  HttpAnswer answer{HttpStatus(status.error_code()), CommonHeaders("application/json"),
                    ErrorJson(status) + "\n"};
  if (answer.status == 401) answer.headers.emplace_back("WWW-Authenticate", "Bearer");
  if (answer.status == 503) answer.headers.emplace_back("Retry-After", "1");
  return answer;
}

HttpAnswer Refusal(int http_status) {
  const bool large = http_status == 413 || http_status == 431;
  const absl::Status error =
      large ? absl::Status(Error(absl::StatusCode::kOutOfRange, reason::kRequestTooLarge,
                                 http_status == 413 ? "the body is larger than 4 MiB"
                                                    : "the head is larger than 16 KiB")
                               .Hint("send less, or call the gRPC API"))
            : absl::Status(Error(absl::StatusCode::kInvalidArgument, reason::kInvalidArgument,
                                 "this is no HTTP/1.1 request")
                               .Hint("speak HTTP/1.1 on this port; gRPC has a port of its own"));
  HttpAnswer answer = ErrorAnswer(ToGrpc(error));
  answer.status = http_status;
  return answer;
}

}  // namespace seer::coordinator
