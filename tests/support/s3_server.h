// An S3 server of the test's own on the loopback (faulty_s3.py), ended with this object.
#pragma once

#include <cstdint>
#include <string>

#include "tests/support/python_server.h"

namespace seer::testing {

class S3Server {
 public:
  static constexpr char kAccessKey[] = "AKIATEST";
  static constexpr char kSecretKey[] = "secret/of+the=test";

  // signed_only: requests without a signature of the key pair are refused.
  explicit S3Server(bool signed_only = true);

  // "s3://pools/PREFIX?..." for OpenStore, and "http://127.0.0.1:PORT/pools/KEY".
  std::string Uri(const std::string& prefix) const;
  std::string HttpUrl(const std::string& key) const;
  std::string Address() const;  // 127.0.0.1:PORT

  // What goes wrong from now on, as JSON; the script's head lists it. "{}": nothing.
  void SetFaults(const std::string& json) const;
  // How often `what` has happened since SetFaults: a fault's name, a method, or "requests".
  int64_t Count(const std::string& what) const;

 private:
  const PythonServer server_;
};

// The environment of this process gets the key pair, and nothing of the machine's own.
void UseCredentials(const std::string& access_key = S3Server::kAccessKey,
                    const std::string& secret_key = S3Server::kSecretKey);
void UseNoCredentials();

}  // namespace seer::testing
