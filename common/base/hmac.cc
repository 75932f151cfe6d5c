#include "common/base/hmac.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "common/base/check.h"
#include "common/base/digest.h"

namespace seer {

std::string HmacSha256Hex(absl::string_view key, absl::string_view message) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int bytes = 0;
  SEER_CHECK(HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
                  reinterpret_cast<const unsigned char*>(message.data()), message.size(), digest,
                  &bytes) != nullptr)
      << "HMAC-SHA256 is not available";
  return ToHex({reinterpret_cast<const char*>(digest), bytes});
}

}  // namespace seer
