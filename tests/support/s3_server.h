// An S3 server of the test's own on the loopback (faulty_s3.py), ended with this object.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

namespace seer::testing {

class S3Server {
 public:
  static constexpr char kAccessKey[] = "AKIATEST";
  static constexpr char kSecretKey[] = "secret/of+the=test";

  // signed_only: requests without a signature of the key pair are refused.
  explicit S3Server(bool signed_only = true);
  ~S3Server();
  S3Server(const S3Server&) = delete;

  // "s3://pools/PREFIX?..." for OpenStore, and "http://127.0.0.1:PORT/pools/KEY".
  std::string Uri(const std::string& prefix) const;
  std::string HttpUrl(const std::string& key) const;
  std::string Address() const;  // 127.0.0.1:PORT

  // What goes wrong from now on, as JSON; the script's head lists it. "{}": nothing.
  void SetFaults(const std::string& json) const;
  // How often `what` has happened since SetFaults: a fault's name, a method, or "requests".
  int64_t Count(const std::string& what) const;

 private:
  pid_t pid_ = -1;
  int stdin_ = -1;  // closed: the server ends
  int port_ = 0;
};

// The environment of this process gets the key pair, and nothing of the machine's own.
void UseCredentials(const std::string& access_key = S3Server::kAccessKey,
                    const std::string& secret_key = S3Server::kSecretKey);
void UseNoCredentials();

}  // namespace seer::testing
