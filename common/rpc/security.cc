#include "common/rpc/security.h"

#include <arpa/inet.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_certificate_verifier.h>
#include <grpcpp/security/tls_credentials_options.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>

#include <algorithm>
#include <ctime>
#include <fstream>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/synchronization/mutex.h"
#include "common/base/address.h"
#include "common/base/error.h"
#include "common/base/log.h"
#include "common/base/status_macros.h"

namespace seer {
namespace {

using grpc::experimental::FileWatcherCertificateProvider;

constexpr absl::Duration kExpiryPeriod = absl::Minutes(1);

template <typename T, void (*kFree)(T*)>
struct Freed {
  void operator()(T* it) const { kFree(it); }
};
using Certificate = std::unique_ptr<X509, Freed<X509, X509_free>>;
using Key = std::unique_ptr<EVP_PKEY, Freed<EVP_PKEY, EVP_PKEY_free>>;
using Bytes = std::unique_ptr<BIO, Freed<BIO, BIO_free_all>>;

Error Invalid(const std::string& message, absl::string_view field) {
  return Error(absl::StatusCode::kInvalidArgument, reason::kTlsInvalid, message).Field(field);
}

absl::StatusOr<Certificate> ReadCertificate(const std::string& file, absl::string_view field) {
  const Bytes bytes(BIO_new_file(file.c_str(), "r"));
  Certificate certificate(bytes ? PEM_read_bio_X509(bytes.get(), nullptr, nullptr, nullptr)
                                : nullptr);
  if (certificate) return certificate;
  return Invalid(absl::StrCat("no certificate can be read from ", file), field)
      .Hint("name a PEM file that this process may read; it begins with -----BEGIN CERTIFICATE");
}

absl::Status CheckPair(const std::string& certificate_file, const std::string& key_file) {
  SEER_ASSIGN_OR_RETURN(const Certificate certificate,
                        ReadCertificate(certificate_file, "tls-cert"));
  const Bytes bytes(BIO_new_file(key_file.c_str(), "r"));
  const Key key(bytes ? PEM_read_bio_PrivateKey(bytes.get(), nullptr, nullptr, nullptr) : nullptr);
  if (!key) {
    return Invalid(absl::StrCat("no private key can be read from ", key_file), "tls-key")
        .Hint("name a PEM file without a password that this process may read");
  }
  if (X509_check_private_key(certificate.get(), key.get()) != 1) {
    return Invalid(absl::StrCat("the key in ", key_file, " is not that of the certificate in ",
                                certificate_file),
                   "tls-key")
        .Hint("take both from the same request; a certificate comes before its chain in the file");
  }
  return absl::OkStatus();
}

absl::Status CheckFiles(const SecurityOptions& options) {
  if (options.certificate.empty() != options.key.empty()) {
    return Invalid("a certificate without its key, or a key without its certificate",
                   options.key.empty() ? "tls-key" : "tls-cert")
        .Hint("give both --tls-cert and --tls-key");
  }
  if (!options.certificate.empty())
    SEER_RETURN_IF_ERROR(CheckPair(options.certificate, options.key));
  if (!options.ca.empty()) SEER_RETURN_IF_ERROR(ReadCertificate(options.ca, "tls-ca").status());
  if (!options.client_ca.empty())
    SEER_RETURN_IF_ERROR(ReadCertificate(options.client_ca, "tls-client-ca").status());
  return absl::OkStatus();
}

unsigned int RefreshSeconds(const SecurityOptions& options) {
  return static_cast<unsigned int>(std::max<int64_t>(1, absl::ToInt64Seconds(options.refresh)));
}

// A server's certificate is of one of several hosts: those of a channel with many addresses, or the
// name that an address was resolved from.
class OneOfHosts final : public grpc::experimental::ExternalCertificateVerifier {
 public:
  explicit OneOfHosts(std::vector<std::string> hosts) : hosts_(std::move(hosts)) {}
  bool Verify(grpc::experimental::TlsCustomVerificationCheckRequest* request,
              std::function<void(grpc::Status)>, grpc::Status* status) override {
    const grpc::string_ref pem = request->peer_cert();
    const Bytes bytes(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
    const Certificate certificate(PEM_read_bio_X509(bytes.get(), nullptr, nullptr, nullptr));
    const bool good =
        certificate && std::any_of(hosts_.begin(), hosts_.end(), [&](const std::string& host) {
          return X509_check_ip_asc(certificate.get(), host.c_str(), 0) == 1 ||
                 X509_check_host(certificate.get(), host.data(), host.size(), 0, nullptr) == 1;
        });
    if (!good) {
      *status = grpc::Status(
          grpc::StatusCode::UNAUTHENTICATED,
          absl::StrCat("the server's certificate is not of ", absl::StrJoin(hosts_, ", ")));
    }
    return true;
  }
  void Cancel(grpc::experimental::TlsCustomVerificationCheckRequest*) override {}

 private:
  const std::vector<std::string> hosts_;
};

// A token as it stands in a file now.
class TokenFile {
 public:
  explicit TokenFile(std::string file) : file_(std::move(file)) {}
  std::string Read() ABSL_LOCKS_EXCLUDED(mu_) {
    struct stat now {};
    absl::MutexLock lock(&mu_);
    const bool there = ::stat(file_.c_str(), &now) == 0;
    const auto stamp = std::make_tuple(now.st_ino, now.st_mtim.tv_sec, now.st_mtim.tv_nsec);
    if (!there || stamp == stamp_) return token_;
    if (auto token = ReadSecretFile(file_, "token-file"); token.ok()) {
      token_ = *std::move(token);
      stamp_ = stamp;
    }
    return token_;
  }

 private:
  const std::string file_;
  absl::Mutex mu_;
  std::tuple<ino_t, time_t, long> stamp_ ABSL_GUARDED_BY(mu_);  // NOLINT: as stat has it
  std::string token_ ABSL_GUARDED_BY(mu_);
};

struct Shared {
  std::shared_ptr<grpc::experimental::CertificateProviderInterface> provider;  // null: no TLS
  bool identity = false;  // the provider has a certificate of this process
  std::unique_ptr<TokenFile> token_file;
  std::string token;
};

class OpenedSecurity final : public ClientSecurity {
 public:
  OpenedSecurity(std::shared_ptr<Shared> shared, std::vector<std::string> names)
      : shared_(std::move(shared)), names_(std::move(names)) {}

  std::shared_ptr<const ClientSecurity> WithNames(
      const std::vector<std::string>& hosts) const override {
    std::vector<std::string> names = names_;
    for (const std::string& host : hosts) names.push_back(HostOf(host));
    return std::make_shared<OpenedSecurity>(shared_, std::move(names));
  }
  std::shared_ptr<grpc::ChannelCredentials> Credentials(
      const std::vector<std::string>& addresses) const override {
    if (!tls()) return grpc::InsecureChannelCredentials();
    std::vector<std::string> hosts = names_;
    for (const std::string& address : addresses) hosts.push_back(HostOf(address));
    grpc::experimental::TlsChannelCredentialsOptions options;
    options.set_certificate_provider(shared_->provider);
    options.watch_root_certs();
    if (shared_->identity) options.watch_identity_key_cert_pairs();
    options.set_verify_server_certs(true);
    options.set_check_call_host(false);
    options.set_certificate_verifier(
        grpc::experimental::ExternalCertificateVerifier::Create<OneOfHosts>(std::move(hosts)));
    return grpc::experimental::TlsCredentials(options);
  }
  bool tls() const override { return shared_->provider != nullptr; }
  std::string token() const override {
    return shared_->token_file ? shared_->token_file->Read() : shared_->token;
  }

 private:
  const std::shared_ptr<Shared> shared_;
  const std::vector<std::string> names_;
};

}  // namespace

absl::StatusOr<absl::Time> CertificateExpiry(const std::string& file) {
  SEER_ASSIGN_OR_RETURN(const Certificate certificate, ReadCertificate(file, "tls-cert"));
  std::tm end{};
  if (ASN1_TIME_to_tm(X509_get0_notAfter(certificate.get()), &end) != 1)
    return Invalid(absl::StrCat("the certificate in ", file, " has no end"), "tls-cert");
  return absl::FromTM(end, absl::UTCTimeZone());
}

absl::StatusOr<std::string> ReadSecretFile(const std::string& path, const std::string& field) {
  std::ifstream file(path);
  std::string secret;
  std::getline(file, secret);
  absl::StripAsciiWhitespace(&secret);
  if (!secret.empty()) return secret;
  return Error(absl::StatusCode::kInvalidArgument, reason::kInvalidArgument,
               absl::StrCat("no secret can be read from ", path))
      .Field(field)
      .Hint("name a file with one line of text, which this process alone may read");
}

absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> MakeServerCredentials(
    const SecurityOptions& options) {
  SEER_RETURN_IF_ERROR(CheckFiles(options));
  if (options.certificate.empty()) {
    if (options.client_ca.empty()) return grpc::InsecureServerCredentials();
    return Invalid("clients are to have certificates, but the server has none", "tls-client-ca")
        .Hint("give --tls-cert and --tls-key, too");
  }
  grpc::experimental::TlsServerCredentialsOptions tls(
      std::make_shared<FileWatcherCertificateProvider>(options.key, options.certificate,
                                                       options.client_ca, RefreshSeconds(options)));
  tls.watch_identity_key_cert_pairs();
  if (!options.client_ca.empty()) {
    tls.watch_root_certs();
    tls.set_cert_request_type(GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  }
  return grpc::experimental::TlsServerCredentials(tls);
}

bool IsLoopback(absl::string_view host) {
  return host == "localhost" || host == "[::1]" || host == "::1" || absl::StartsWith(host, "127.");
}

absl::Status CheckTokenIsSafe(const SecurityOptions& options,
                              const std::vector<std::string>& addresses) {
  const bool sends = !options.token.empty() || !options.token_file.empty();
  if (!sends || !options.ca.empty() || options.insecure) return absl::OkStatus();
  for (const std::string& address : addresses) {
    if (IsLoopback(HostOf(address))) continue;
    return Error(absl::StatusCode::kFailedPrecondition, reason::kTlsInvalid,
                 absl::StrCat("the token would go to ", address, " unencrypted"))
        .Field("tls-ca")
        .Hint(
            "give --tls-ca FILE, the authority of the server's certificate; or --insecure where "
            "the network itself keeps others out");
  }
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<const ClientSecurity>> ClientSecurity::Open(
    const SecurityOptions& options) {
  SEER_RETURN_IF_ERROR(CheckFiles(options));
  auto shared = std::make_shared<Shared>();
  shared->token = options.token;
  if (!options.token_file.empty()) {
    SEER_RETURN_IF_ERROR(ReadSecretFile(options.token_file, "token-file").status());
    shared->token_file = std::make_unique<TokenFile>(options.token_file);
  }
  if (!options.ca.empty()) {
    shared->identity = !options.certificate.empty();
    shared->provider = std::make_shared<FileWatcherCertificateProvider>(
        options.key, options.certificate, options.ca, RefreshSeconds(options));
  }
  std::shared_ptr<const ClientSecurity> opened;
  if (shared->provider || shared->token_file || !shared->token.empty())
    opened = std::make_shared<OpenedSecurity>(std::move(shared), std::vector<std::string>());
  return opened;
}

CertificateWatch::CertificateWatch(std::string file, MetricsRegistry& metrics) {
  if (file.empty()) return;
  Gauge& expiry = metrics.AddGauge("seer_tls_certificate_expiry_timestamp_seconds",
                                   "When this process's certificate ends, in seconds since 1970.");
  const auto look = [file = std::move(file), &expiry] {
    const auto end = CertificateExpiry(file);
    if (end.ok()) {
      expiry.Set(absl::ToDoubleSeconds(*end - absl::UnixEpoch()));
    } else {
      LogWarn("certificate_unreadable", {{"error", StatusText(end.status())}});
    }
  };
  look();
  thread_ = std::make_unique<PeriodicThread>("certificate", kExpiryPeriod, kExpiryPeriod, look);
}

}  // namespace seer
