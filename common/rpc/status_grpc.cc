#include "common/rpc/status_grpc.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/utf8.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

namespace seer {
namespace {

constexpr char kDomain[] = "seer";
constexpr char kHint[] = "hint";
// All of it travels in trailing metadata, which clients take up to 8 KiB of, and the detail in
// base64: what is longer would arrive as an error about metadata.
constexpr size_t kMessageBytes = 900, kHintBytes = 500, kValueBytes = 200, kFieldBytes = 200;
constexpr size_t kDescriptionBytes = 300, kKeyBytes = 60;
constexpr int kValues = 5;

// As protobuf strings can carry it.
std::string Carried(absl::string_view text, size_t max_bytes) {
  const std::string clean = ToValidUtf8(text);
  if (clean.size() <= max_bytes) return clean;
  return absl::StrCat(Utf8Prefix(clean, max_bytes), " ...");
}

}  // namespace

grpc::Status ToGrpc(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  const auto code = static_cast<grpc::StatusCode>(status.code());
  const std::string message = Carried(status.message(), kMessageBytes);
  const auto detail = GetErrorDetail(status);
  if (!detail) return grpc::Status(code, message);

  google::rpc::Status rich;
  rich.set_code(static_cast<int>(code));
  rich.set_message(message);
  google::rpc::ErrorInfo info;
  info.set_reason(detail->reason);
  info.set_domain(kDomain);
  for (const auto& [key, value] : detail->metadata) {
    if (info.metadata_size() == kValues) break;
    (*info.mutable_metadata())[Carried(key, kKeyBytes)] = Carried(value, kValueBytes);
  }
  if (!detail->hint.empty()) (*info.mutable_metadata())[kHint] = Carried(detail->hint, kHintBytes);
  rich.add_details()->PackFrom(info);
  if (!detail->field.empty()) {
    google::rpc::BadRequest bad;
    auto* violation = bad.add_field_violations();
    violation->set_field(Carried(detail->field, kFieldBytes));
    violation->set_description(Carried(message, kDescriptionBytes));
    rich.add_details()->PackFrom(bad);
  }
  return grpc::Status(code, message, rich.SerializeAsString());
}

absl::Status FromGrpc(const grpc::Status& status) {
  if (status.ok()) return absl::OkStatus();
  absl::Status result(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
  google::rpc::Status rich;
  if (status.error_details().empty() || !rich.ParseFromString(status.error_details()))
    return result;
  ErrorDetail detail;
  for (const auto& any : rich.details()) {
    google::rpc::ErrorInfo info;
    google::rpc::BadRequest bad;
    if (any.Is<google::rpc::ErrorInfo>() && any.UnpackTo(&info)) {
      detail.reason = info.reason();
      for (const auto& [key, value] : info.metadata()) {
        if (key == kHint) {
          detail.hint = value;
        } else {
          detail.metadata[key] = value;
        }
      }
    } else if (any.Is<google::rpc::BadRequest>() && any.UnpackTo(&bad) &&
               bad.field_violations_size() > 0) {
      detail.field = bad.field_violations(0).field();
    }
  }
  if (!detail.reason.empty()) SetErrorDetail(result, detail);
  return result;
}

}  // namespace seer
