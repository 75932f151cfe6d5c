#include "common/access/authenticator.h"

#include <grpcpp/grpcpp.h>
#include <openssl/rand.h>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/base/error.h"

namespace seer::access {

absl::StatusOr<std::string> TokenOf(const grpc::ServerContextBase& context) {
  const auto [begin, end] = context.client_metadata().equal_range("authorization");
  if (begin == end) {
    return Error(absl::StatusCode::kUnauthenticated, reason::kTokenMissing,
                 "the call carries no token")
        .Hint("`seer auth login --token-file FILE`, SEER_TOKEN or --token-file");
  }
  const absl::string_view value(begin->second.data(), begin->second.size());
  if (std::next(begin) != end || !absl::StartsWithIgnoreCase(value, "Bearer ")) {
    return Error(absl::StatusCode::kUnauthenticated, reason::kTokenInvalid,
                 "the call's authorization is not one bearer token")
        .Hint("send the metadata `authorization: Bearer TOKEN`, once");
  }
  return std::string(absl::StripAsciiWhitespace(value.substr(7)));
}

absl::Status ExpiredToken(absl::Time when) {
  return Error(absl::StatusCode::kUnauthenticated, reason::kTokenExpired,
               absl::StrCat("the token expired on ", absl::FormatTime(when, absl::UTCTimeZone())))
      .Hint("get another one: from `seer auth token create`, or of the identity provider");
}

std::string NewToken() {
  unsigned char bytes[32];
  SEER_CHECK(RAND_bytes(bytes, sizeof(bytes)) == 1) << "no random bytes";
  std::string text = absl::WebSafeBase64Escape(
      absl::string_view(reinterpret_cast<const char*>(bytes), sizeof(bytes)));
  while (!text.empty() && text.back() == '=') text.pop_back();
  return absl::StrCat("seer_", text);
}

}  // namespace seer::access
