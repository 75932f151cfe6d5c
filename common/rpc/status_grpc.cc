#include "common/rpc/status_grpc.h"

#include <utility>

#include "common/base/error.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

namespace seer {
namespace {

constexpr char kDomain[] = "seer";
constexpr char kHint[] = "hint";

}  // namespace

grpc::Status ToGrpc(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  const auto code = static_cast<grpc::StatusCode>(status.code());
  const std::string message(status.message());
  const auto detail = GetErrorDetail(status);
  if (!detail) return grpc::Status(code, message);

  google::rpc::Status rich;
  rich.set_code(static_cast<int>(code));
  rich.set_message(message);
  google::rpc::ErrorInfo info;
  info.set_reason(detail->reason);
  info.set_domain(kDomain);
  for (const auto& [key, value] : detail->metadata) (*info.mutable_metadata())[key] = value;
  if (!detail->hint.empty()) (*info.mutable_metadata())[kHint] = detail->hint;
  rich.add_details()->PackFrom(info);
  if (!detail->field.empty()) {
    google::rpc::BadRequest bad;
    auto* violation = bad.add_field_violations();
    violation->set_field(detail->field);
    violation->set_description(message);
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
