#include "common/rpc/resolve.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <sys/socket.h>

#include <algorithm>
#include <memory>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace seer {
namespace {

std::vector<std::string> Resolve(const std::string& address) {
  const size_t colon = address.rfind(':');
  int port = 0;
  if (colon == std::string::npos || !absl::SimpleAtoi(address.substr(colon + 1), &port))
    return {address};
  std::string host = address.substr(0, colon);
  if (host.size() > 2 && host.front() == '[' && host.back() == ']')
    host = host.substr(1, host.size() - 2);
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (getaddrinfo(host.c_str(), nullptr, &hints, &found) != 0) return {address};
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> all(found, freeaddrinfo);
  std::vector<std::string> resolved;
  for (const addrinfo* entry = found; entry != nullptr; entry = entry->ai_next) {
    char text[NI_MAXHOST];
    if (getnameinfo(entry->ai_addr, entry->ai_addrlen, text, sizeof(text), nullptr, 0,
                    NI_NUMERICHOST) != 0)
      continue;
    resolved.push_back(entry->ai_family == AF_INET6 ? absl::StrCat("[", text, "]:", port)
                                                    : absl::StrCat(text, ":", port));
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
