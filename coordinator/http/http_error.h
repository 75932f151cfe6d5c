// Errors as HTTP gives them: the JSON of AIP-193, {"error": {"code": 404, "status": "NOT_FOUND",
// "message": ..., "details": [ErrorInfo, BadRequest]}}. Thread-safe: pure functions.
#pragma once

#include <grpcpp/support/status.h>

#include <string>

#include "common/http/http_server.h"

namespace seer::coordinator {

int HttpStatus(grpc::StatusCode code);
// On one line, without its end.
std::string ErrorJson(const grpc::Status& status);
HttpAnswer ErrorAnswer(const grpc::Status& status);
// Of what is no request, or too large: 400, 413, 431.
HttpAnswer Refusal(int http_status);
// What every answer of the gateway carries: not to be kept, framed or guessed at.
HttpHeaders CommonHeaders(const std::string& content_type);

}  // namespace seer::coordinator
