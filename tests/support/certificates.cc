#include "tests/support/certificates.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <cstdio>
#include <functional>
#include <utility>

#include "absl/strings/str_join.h"
#include "common/base/check.h"

namespace seer::testing {
namespace {

template <auto kFree>
struct Freed {
  template <typename T>
  void operator()(T* it) const {
    kFree(it);
  }
};
using Certificate = std::unique_ptr<X509, Freed<X509_free>>;
using Key = std::unique_ptr<EVP_PKEY, Freed<EVP_PKEY_free>>;

// `signer`: null: by itself, and as an authority.
Certificate Sign(const std::string& name, EVP_PKEY* key, X509* signer, EVP_PKEY* signing_key,
                 const std::string& hosts, absl::Duration life) {
  static long serial = 0;  // NOLINT: as OpenSSL has it
  Certificate certificate(X509_new());
  X509* const x = certificate.get();
  X509_set_version(x, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(x), ++serial);
  X509_gmtime_adj(X509_getm_notBefore(x), -3600);
  X509_gmtime_adj(X509_getm_notAfter(x), absl::ToInt64Seconds(life));
  X509_set_pubkey(x, key);
  X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1, 0);
  X509_set_issuer_name(x, X509_get_subject_name(signer == nullptr ? x : signer));
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, signer == nullptr ? x : signer, x, nullptr, nullptr, 0);
  const auto add = [&](int kind, const char* value) {
    X509_EXTENSION* const extension = X509V3_EXT_conf_nid(nullptr, &context, kind, value);
    SEER_CHECK(extension != nullptr) << value;
    X509_add_ext(x, extension, -1);
    X509_EXTENSION_free(extension);
  };
  add(NID_basic_constraints, signer == nullptr ? "critical,CA:TRUE" : "CA:FALSE");
  if (signer == nullptr) add(NID_key_usage, "critical,keyCertSign,cRLSign");
  if (!hosts.empty()) add(NID_subject_alt_name, hosts.c_str());
  SEER_CHECK(X509_sign(x, signing_key, EVP_sha256()) != 0);
  return certificate;
}

// In one piece: beside it, then renamed.
void Write(const std::string& path, const std::function<int(FILE*)>& write) {
  const std::string beside = path + ".new";
  FILE* const file = std::fopen(beside.c_str(), "w");
  SEER_CHECK(file != nullptr && write(file) == 1) << path;
  std::fclose(file);
  std::filesystem::rename(beside, path);
}

void WriteCertificate(const std::string& path, X509* certificate) {
  Write(path, [&](FILE* file) { return PEM_write_X509(file, certificate); });
}

}  // namespace

struct CertificateAuthority::Impl {
  Key key{EVP_EC_gen("P-256")};
  Certificate certificate;
};

CertificateAuthority::CertificateAuthority(std::filesystem::path folder, const std::string& name)
    : folder_(std::move(folder)), name_(name), impl_(std::make_unique<Impl>()) {
  impl_->certificate =
      Sign(name, impl_->key.get(), nullptr, impl_->key.get(), "", absl::Hours(24 * 365));
  WriteCertificate(file(), impl_->certificate.get());
}
CertificateAuthority::~CertificateAuthority() = default;

std::string CertificateAuthority::file() const { return (folder_ / (name_ + "-ca.pem")).string(); }

CertificateFiles CertificateAuthority::Issue(const std::string& name,
                                             const std::vector<std::string>& hosts,
                                             absl::Duration life) const {
  const Key key(EVP_EC_gen("P-256"));
  const Certificate certificate = Sign(name, key.get(), impl_->certificate.get(), impl_->key.get(),
                                       absl::StrJoin(hosts, ","), life);
  const CertificateFiles files{(folder_ / (name + ".pem")).string(),
                               (folder_ / (name + ".key")).string()};
  Write(files.key, [&](FILE* file) {
    return PEM_write_PrivateKey(file, key.get(), nullptr, nullptr, 0, nullptr, nullptr);
  });
  WriteCertificate(files.certificate, certificate.get());
  return files;
}

}  // namespace seer::testing
