// Addresses of servers, "HOST:PORT": where a text becomes a host and a port. Pure.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace seer {

struct Address {
  std::string host;  // of an IPv6 address without its brackets
  int port = 0;      // 0 to 65535

  friend bool operator==(const Address&, const Address&) = default;
};

// "head:7070", "10.0.0.7:7070" or "[::1]:7070". nullopt: it has no host, no port, or one that is
// not 0 to 65535.
std::optional<Address> SplitAddress(absl::string_view text);

std::string AddressText(absl::string_view host, int port);  // what SplitAddress reads

// The host of an address, as SplitAddress gives it; of what is none, all before the last colon.
std::string HostOf(absl::string_view address);

// The address that a server is to listen on: port 0 takes any free one. INVALID_ARGUMENT, about
// `flag` ("--listen"): it is none.
absl::StatusOr<Address> ReadListenAddress(absl::string_view flag, absl::string_view text);

// All are addresses to call, with ports from 1 to 65535. INVALID_ARGUMENT, about `flag`
// ("--coordinator"): one is not.
absl::Status CheckAddresses(absl::string_view flag, const std::vector<std::string>& addresses);

}  // namespace seer
