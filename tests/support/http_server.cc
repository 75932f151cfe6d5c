#include "tests/support/http_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/check.h"

namespace seer::testing {

HttpServer::HttpServer() : listener_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  SEER_CHECK(bind(listener_, reinterpret_cast<sockaddr*>(&address), size) == 0);
  SEER_CHECK(listen(listener_, 16) == 0);
  SEER_CHECK(getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) == 0);
  port_ = ntohs(address.sin_port);
  thread_ = std::thread([this] { Serve(); });
}

HttpServer::~HttpServer() {
  shutdown(listener_, SHUT_RDWR);
  thread_.join();
  close(listener_);
}

std::string HttpServer::root() const { return absl::StrCat("http://127.0.0.1:", port_); }

std::string HttpServer::url() const { return absl::StrCat(root(), "/hook"); }

void HttpServer::Page(const std::string& path, std::string body) {
  absl::MutexLock lock(&mu_);
  pages_[path] = std::move(body);
}

void HttpServer::Answer(std::vector<int> statuses) {
  absl::MutexLock lock(&mu_);
  answers_.assign(statuses.begin(), statuses.end());
}

std::vector<HttpCall> HttpServer::Calls(size_t count, absl::Duration patience) {
  absl::MutexLock lock(&mu_);
  const auto enough = [&] {
    mu_.AssertReaderHeld();
    return calls_.size() >= count;
  };
  mu_.AwaitWithTimeout(absl::Condition(&enough), patience);
  return calls_;
}

void HttpServer::Serve() {
  while (true) {
    const int connection = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (connection < 0) return;
    Take(connection);
    close(connection);
  }
}

// One call a connection.
void HttpServer::Take(int connection) {
  std::string text;
  size_t head = std::string::npos, length = 0;
  HttpCall call;
  while (head == std::string::npos || text.size() < head + 4 + length) {
    char buffer[4096];
    const ssize_t bytes = recv(connection, buffer, sizeof(buffer), 0);
    if (bytes <= 0) return;
    text.append(buffer, static_cast<size_t>(bytes));
    if (head != std::string::npos) continue;
    head = text.find("\r\n\r\n");
    if (head == std::string::npos) continue;
    const std::vector<std::string> lines = absl::StrSplit(text.substr(0, head), "\r\n");
    const std::vector<std::string> first = absl::StrSplit(lines[0], ' ');
    call.method = first[0];
    call.path = first.size() > 1 ? first[1] : "";
    for (size_t i = 1; i < lines.size(); ++i) {
      const std::pair<std::string, std::string> header =
          absl::StrSplit(lines[i], absl::MaxSplits(": ", 1));
      call.headers[absl::AsciiStrToLower(header.first)] = header.second;
    }
    const auto it = call.headers.find("content-length");
    if (it == call.headers.end()) continue;
    SEER_CHECK(absl::SimpleAtoi(it->second, &length)) << it->second;
  }
  call.body = text.substr(head + 4);
  int status = 200;
  std::string body;
  {
    absl::MutexLock lock(&mu_);
    if (!answers_.empty()) {
      status = answers_.front();
      answers_.pop_front();
    }
    if (const auto page = pages_.find(call.path); page != pages_.end()) body = page->second;
    calls_.push_back(std::move(call));
  }
  if (status == 0) return;
  const std::string answer =
      absl::StrCat("HTTP/1.1 ", status, " x\r\nContent-Length: ", body.size(),
                   "\r\nConnection: close\r\n\r\n", body);
  (void)!send(connection, answer.data(), answer.size(), MSG_NOSIGNAL);
}

}  // namespace seer::testing
