#include "common/base/address.h"

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/base/error.h"

namespace seer {
namespace {

Error NotAnAddress(absl::string_view flag, absl::string_view text) {
  return Error(absl::StatusCode::kInvalidArgument, reason::kInvalidArgument,
               absl::StrCat(flag, ": '", text, "' is not an address"))
      .Field(flag);
}

}  // namespace

std::optional<Address> SplitAddress(absl::string_view text) {
  const size_t colon = text.rfind(':');
  if (colon == absl::string_view::npos) return std::nullopt;
  const absl::string_view digits = text.substr(colon + 1);
  Address address;
  if (digits.empty() || !absl::ascii_isdigit(static_cast<unsigned char>(digits.front())) ||
      !absl::SimpleAtoi(digits, &address.port) || address.port > 65535)
    return std::nullopt;
  absl::string_view host = text.substr(0, colon);
  const bool bracketed = absl::ConsumePrefix(&host, "[") && absl::ConsumeSuffix(&host, "]");
  if (host.empty() || absl::StrContains(host, ':') != bracketed ||
      host.find_first_of("[]/ ") != absl::string_view::npos)
    return std::nullopt;
  address.host = std::string(host);
  return address;
}

std::string AddressText(absl::string_view host, int port) {
  return absl::StrContains(host, ':') ? absl::StrCat("[", host, "]:", port)
                                      : absl::StrCat(host, ":", port);
}

std::string HostOf(absl::string_view address) {
  if (const auto split = SplitAddress(address)) return split->host;
  return std::string(address.substr(0, address.rfind(':')));
}

absl::StatusOr<Address> ReadListenAddress(absl::string_view flag, absl::string_view text) {
  if (auto address = SplitAddress(text)) return *std::move(address);
  return NotAnAddress(flag, text)
      .Hint("write HOST:PORT, for example 127.0.0.1:7070 or [::1]:7070; port 0 takes any free one");
}

absl::Status CheckAddresses(absl::string_view flag, const std::vector<std::string>& addresses) {
  for (const std::string& text : addresses) {
    const auto address = SplitAddress(text);
    if (address && address->port > 0) continue;
    return NotAnAddress(flag, text)
        .Hint("write HOST:PORT, for example head:7070 or [::1]:7070; ports are 1 to 65535");
  }
  return absl::OkStatus();
}

}  // namespace seer
