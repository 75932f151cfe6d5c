#include "tests/support/http_socket.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace seer::testing {
namespace {
constexpr absl::Duration kPatience = absl::Seconds(20);
}

HttpSocket::HttpSocket(int port) : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0)
    ADD_FAILURE() << "cannot connect to port " << port;
}

HttpSocket::~HttpSocket() { ::close(fd_); }

bool HttpSocket::Send(const std::string& text) {
  for (size_t sent = 0; sent < text.size();) {
    const ssize_t wrote = ::send(fd_, text.data() + sent, text.size() - sent, MSG_NOSIGNAL);
    if (wrote <= 0) return false;
    sent += static_cast<size_t>(wrote);
  }
  return true;
}

bool HttpSocket::Receive(absl::Duration limit) {
  pollfd waiting{fd_, POLLIN, 0};
  if (::poll(&waiting, 1, static_cast<int>(absl::ToInt64Milliseconds(limit))) <= 0) return false;
  char bytes[65536];
  const ssize_t got = ::recv(fd_, bytes, sizeof(bytes), 0);
  if (got <= 0) {
    closed_ = true;
  } else {
    received_.append(bytes, static_cast<size_t>(got));
  }
  return true;
}

std::string HttpSocket::ReadUntil(const std::string& end) {
  while (received_.find(end) == std::string::npos) {
    if (closed_ || !Receive(kPatience)) {
      ADD_FAILURE() << "'" << end << "' did not come, but: " << received_;
      return received_;
    }
  }
  const size_t length = received_.find(end) + end.size();
  const std::string text = received_.substr(0, length);
  received_.erase(0, length);
  return text;
}

std::string HttpSocket::ReadAll() {
  while (!closed_) {
    if (!Receive(kPatience)) {
      ADD_FAILURE() << "it did not hang up, and sent: " << received_.substr(0, 1000);
      break;
    }
  }
  return received_;
}

bool HttpSocket::ClosedWithin(absl::Duration limit) {
  if (!closed_) Receive(limit);
  return closed_;
}

}  // namespace seer::testing
