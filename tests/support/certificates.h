// Certificate authorities of a test, and what they sign.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "absl/time/time.h"

namespace seer::testing {

struct CertificateFiles {
  std::string certificate, key;  // PEM
};

class CertificateAuthority {
 public:
  // `folder` is there; files of it begin with `name`.
  CertificateAuthority(std::filesystem::path folder, const std::string& name);
  ~CertificateAuthority();
  std::string file() const;  // its own certificate
  // Writes "<name>.pem" and "<name>.key" into the folder, in the place of those that are there.
  // `hosts`: "DNS:localhost", "IP:127.0.0.1".
  CertificateFiles Issue(const std::string& name, const std::vector<std::string>& hosts,
                         absl::Duration life = absl::Hours(24 * 30)) const;

 private:
  struct Impl;
  const std::filesystem::path folder_;
  const std::string name_;
  std::unique_ptr<Impl> impl_;
};

}  // namespace seer::testing
