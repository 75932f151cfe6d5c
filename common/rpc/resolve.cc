#include "common/rpc/resolve.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <sys/socket.h>

#include <algorithm>
#include <memory>

#include "common/base/address.h"

namespace seer {
namespace {

std::vector<std::string> Resolve(const std::string& address) {
  const auto split = SplitAddress(address);
  if (!split) return {address};
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (getaddrinfo(split->host.c_str(), nullptr, &hints, &found) != 0) return {address};
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> all(found, freeaddrinfo);
  std::vector<std::string> resolved;
  for (const addrinfo* entry = found; entry != nullptr; entry = entry->ai_next) {
    char text[NI_MAXHOST];
    if (getnameinfo(entry->ai_addr, entry->ai_addrlen, text, sizeof(text), nullptr, 0,
                    NI_NUMERICHOST) != 0)
      continue;
    resolved.push_back(AddressText(text, split->port));
  }
  std::sort(resolved.begin(), resolved.end());
  return resolved.empty() ? std::vector<std::string>{address} : resolved;
}

}  // namespace

std::vector<std::string> ResolveAddresses(const std::vector<std::string>& addresses) {
  std::vector<std::string> all;
  for (const std::string& address : addresses) {
    for (std::string& resolved : Resolve(address)) {
      if (std::find(all.begin(), all.end(), resolved) == all.end())
        all.push_back(std::move(resolved));
    }
  }
  return all;
}

}  // namespace seer
