// What connections are secured by: TLS with files that are read again when they change, and the
// token that calls carry. One place for servers and clients. All is thread-safe.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/base/periodic_thread.h"
#include "common/metrics/registry.h"

namespace grpc {
class ChannelCredentials;
class ServerCredentials;
}  // namespace grpc

namespace seer {

struct SecurityOptions {
  // PEM files. Of this process: shown to its server's clients, and to servers that ask for one.
  std::string certificate, key;  // both or none; the certificate may be a chain
  std::string ca;         // whose certificates other servers must have; empty: calls go without TLS
  std::string client_ca;  // whose certificates clients must have; empty: they need none
  std::string token_file;  // the file's first line is the token of calls; read again as it changes
  std::string token;       // or the token itself; empty, as the file: calls carry none
  // A server may listen for other machines without TLS and authentication, a client may send them
  // its token without TLS.
  bool insecure = false;
  absl::Duration refresh = absl::Seconds(10);  // how often files are looked at; whole seconds
};

// When the first certificate of a PEM file ends. INVALID_ARGUMENT with TLS_INVALID: there is none.
absl::StatusOr<absl::Time> CertificateExpiry(const std::string& file);

// The first line of a file that holds a secret, without spaces around it. INVALID_ARGUMENT: it
// cannot be read, or is empty.
absl::StatusOr<std::string> ReadSecretFile(const std::string& file, const std::string& field);

// Of a server; without a certificate, plain. INVALID_ARGUMENT with TLS_INVALID: a file cannot be
// read, or the key is not the certificate's.
absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> MakeServerCredentials(
    const SecurityOptions& options);

// Whether only this machine is reached at a host, "127.0.0.1", "localhost" or "[::1]".
bool IsLoopback(absl::string_view host);

// That no token goes to other machines ("host:port") unencrypted. FAILED_PRECONDITION with
// TLS_INVALID.
absl::Status CheckTokenIsSafe(const SecurityOptions& options,
                              const std::vector<std::string>& addresses);

// What a process's channels have in common.
class ClientSecurity {
 public:
  // nullptr: neither TLS nor a token. INVALID_ARGUMENT with TLS_INVALID, or about the token.
  static absl::StatusOr<std::shared_ptr<const ClientSecurity>> Open(const SecurityOptions& options);
  virtual ~ClientSecurity() = default;
  // The same, which also takes certificates of these hosts ("host" or "host:port"): of names that
  // addresses were resolved from.
  virtual std::shared_ptr<const ClientSecurity> WithNames(
      const std::vector<std::string>& hosts) const = 0;

  // For a channel to these addresses: a server must have a certificate of one of their hosts.
  virtual std::shared_ptr<grpc::ChannelCredentials> Credentials(
      const std::vector<std::string>& addresses) const = 0;
  virtual bool tls() const = 0;
  virtual std::string token() const = 0;  // as the file has it now; empty: none
};

// seer_tls_certificate_expiry_timestamp_seconds of a certificate file, looked at every minute.
class CertificateWatch {
 public:
  // Without a file it does nothing. `metrics` must outlive it.
  CertificateWatch(std::string file, MetricsRegistry& metrics);

 private:
  std::unique_ptr<PeriodicThread> thread_;
};

}  // namespace seer
