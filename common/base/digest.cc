#include "common/base/digest.h"

#include <openssl/evp.h>

#include "absl/strings/escaping.h"
#include "common/base/check.h"

namespace seer {

struct Sha256Stream::Impl {
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  ~Impl() { EVP_MD_CTX_free(context); }
};

Sha256Stream::Sha256Stream() : impl_(std::make_unique<Impl>()) {
  SEER_CHECK(EVP_DigestInit_ex(impl_->context, EVP_sha256(), nullptr) == 1)
      << "SHA-256 is not available";
}

Sha256Stream::~Sha256Stream() = default;

void Sha256Stream::Update(absl::string_view bytes) {
  SEER_CHECK(EVP_DigestUpdate(impl_->context, bytes.data(), bytes.size()) == 1);
}

Sha256Digest Sha256Stream::Finish() {
  Sha256Digest digest;
  SEER_CHECK(EVP_DigestFinal_ex(impl_->context, digest.data(), nullptr) == 1);
  return digest;
}

Sha256Digest Sha256(absl::string_view bytes) {
  Sha256Stream stream;
  stream.Update(bytes);
  return stream.Finish();
}

std::string ToHex(absl::string_view bytes) { return absl::BytesToHexString(bytes); }

std::string Sha256Hex(absl::string_view bytes) {
  const Sha256Digest digest = Sha256(bytes);
  return ToHex({reinterpret_cast<const char*>(digest.data()), digest.size()});
}

}  // namespace seer
