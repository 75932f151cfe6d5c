// Errors as the whole system carries them: an absl::Status whose payload names one reason
// (reasons.h), the field it is about, a hint (what to do next) and each variable of the text as
// metadata. common/rpc/status_grpc turns it into google.rpc.ErrorInfo and BadRequest and back;
// the command line prints it.
#pragma once

#include "absl/strings/string_view.h"

#include <map>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/reasons.h"

namespace seer {

struct ErrorDetail {
  std::string reason;  // UPPER_SNAKE, one of reasons.h
  std::string field;   // path into the request or spec, "optim.lr"; empty: about the whole
  std::string hint;    // the next step for the reader; empty: none
  std::map<std::string, std::string> metadata;

  friend bool operator==(const ErrorDetail&, const ErrorDetail&) = default;
};

// Builds a status: return Error(absl::StatusCode::kNotFound, reason::kPoolNotFound, "…").Hint("…");
class [[nodiscard]] Error {
 public:
  Error(absl::StatusCode code, absl::string_view reason, absl::string_view message);
  Error&& Field(absl::string_view field) &&;
  Error&& Hint(absl::string_view hint) &&;
  Error&& With(absl::string_view key, absl::string_view value) &&;
  operator absl::Status() const;  // NOLINT: a builder is meant to be returned
  template <typename T>
  operator absl::StatusOr<T>() const {  // NOLINT
    return absl::Status(*this);
  }

 private:
  absl::StatusCode code_;
  std::string message_;
  ErrorDetail detail_;
};

// The detail that `status` carries; nullopt if it was not built by Error.
std::optional<ErrorDetail> GetErrorDetail(const absl::Status& status);
void SetErrorDetail(absl::Status& status, const ErrorDetail& detail);

// The same status with "context: " in front of its message; code and payloads stay.
absl::Status WithContext(const absl::Status& status, absl::string_view context);

// "DATA_LOSS IMAGE_CORRUPT: what was wrong", for logs: without the payload's bytes.
std::string StatusText(const absl::Status& status);

// True if the status carries exactly this reason.
bool HasReason(const absl::Status& status, absl::string_view reason);

}  // namespace seer
