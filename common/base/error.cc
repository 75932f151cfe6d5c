#include "common/base/error.h"

#include <utility>
#include <vector>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace seer {
namespace {

constexpr absl::string_view kPayloadUrl = "seer.dev/error-detail";

// Length-prefixed strings: the payload never leaves the process in this form.
void Append(std::string& out, absl::string_view text) {
  absl::StrAppend(&out, text.size(), ":", text);
}

bool Take(absl::string_view& in, std::string& out) {
  const size_t colon = in.find(':');
  size_t size = 0;
  if (colon == absl::string_view::npos || !absl::SimpleAtoi(in.substr(0, colon), &size))
    return false;
  in.remove_prefix(colon + 1);
  if (in.size() < size) return false;
  out = std::string(in.substr(0, size));
  in.remove_prefix(size);
  return true;
}

}  // namespace

Error::Error(absl::StatusCode code, absl::string_view reason, absl::string_view message)
    : code_(code), message_(message) {
  detail_.reason = std::string(reason);
}

Error&& Error::Field(absl::string_view field) && {
  detail_.field = std::string(field);
  return std::move(*this);
}

Error&& Error::Hint(absl::string_view hint) && {
  detail_.hint = std::string(hint);
  return std::move(*this);
}

Error&& Error::With(absl::string_view key, absl::string_view value) && {
  detail_.metadata[std::string(key)] = std::string(value);
  return std::move(*this);
}

Error::operator absl::Status() const {
  absl::Status status(code_, message_);
  SetErrorDetail(status, detail_);
  return status;
}

void SetErrorDetail(absl::Status& status, const ErrorDetail& detail) {
  std::string payload;
  Append(payload, detail.reason);
  Append(payload, detail.field);
  Append(payload, detail.hint);
  for (const auto& [key, value] : detail.metadata) {
    Append(payload, key);
    Append(payload, value);
  }
  status.SetPayload(kPayloadUrl, absl::Cord(payload));
}

std::optional<ErrorDetail> GetErrorDetail(const absl::Status& status) {
  const auto payload = status.GetPayload(kPayloadUrl);
  if (!payload.has_value()) return std::nullopt;
  const std::string flat(*payload);
  absl::string_view in = flat;
  ErrorDetail detail;
  if (!Take(in, detail.reason) || !Take(in, detail.field) || !Take(in, detail.hint))
    return std::nullopt;
  std::string key, value;
  while (Take(in, key) && Take(in, value)) detail.metadata[key] = value;
  return detail;
}

absl::Status WithContext(const absl::Status& status, absl::string_view context) {
  if (status.ok()) return status;
  absl::Status out(status.code(), absl::StrCat(context, ": ", status.message()));
  status.ForEachPayload(
      [&](absl::string_view url, const absl::Cord& payload) { out.SetPayload(url, payload); });
  return out;
}

std::string StatusText(const absl::Status& status) {
  const auto detail = GetErrorDetail(status);
  return absl::StrCat(absl::StatusCodeToString(status.code()), detail ? " " : "",
                      detail ? detail->reason : "", ": ", status.message());
}

bool HasReason(const absl::Status& status, absl::string_view reason) {
  const auto detail = GetErrorDetail(status);
  return detail.has_value() && detail->reason == reason;
}

}  // namespace seer
