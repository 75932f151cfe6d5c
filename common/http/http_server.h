// A server of HTTP/1.1 and, with a certificate, HTTPS: requests are read whole, answers go out
// whole or as a stream. Everything that a client may do is bounded: sizes, times, connections; one
// that sends or takes too slowly is hung up on. Thread-safe. Owns its threads; the destructor joins
// them.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace seer {

struct HttpServerOptions {
  std::string address = "127.0.0.1:0";  // host:port; port 0: any
  // PEM files, the whole chain and its key; empty: without TLS. Read again when they have changed.
  std::string certificate_file;
  std::string key_file;
  std::string client_ca_file;  // PEM; whose certificates clients must have; empty: they need none
  size_t max_head_bytes = 16 << 10;  // of a request
  size_t max_body_bytes = 4 << 20;
  size_t max_connections = 1000;                    // more are closed at once
  int max_requests = 1000;                          // of a connection; then it is closed
  absl::Duration idle_timeout = absl::Seconds(60);  // between two requests
  absl::Duration head_timeout = absl::Seconds(10);  // from a request's first byte; of TLS, too
  absl::Duration body_timeout = absl::Seconds(30);  // from the end of its head
  absl::Duration write_timeout =
      absl::Seconds(30);                     // until the client has taken 256 KiB, or the rest
  absl::Duration quiet = absl::Seconds(15);  // a stream without a piece sends its filler
};

using HttpHeaders = std::vector<std::pair<std::string, std::string>>;

struct HttpCallerRequest {
  std::string peer;                            // as gRPC writes it: "ipv4:10.0.0.7:41234"
  std::string method;                          // "GET"; a HEAD is given as a GET
  std::string path;                            // as sent: percent signs are not decoded
  std::string query;                           // without '?'
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;
};

struct HttpAnswer {
  int status = 200;
  HttpHeaders headers;  // besides Content-Length and Connection
  std::string body;
};

class HttpConnection;

// One request and its answer. Thread-safe. Dropped without an answer it answers 500.
class HttpExchange {
 public:
  HttpExchange(std::shared_ptr<HttpConnection> connection, HttpCallerRequest request);
  ~HttpExchange();
  HttpExchange(const HttpExchange&) = delete;
  const HttpCallerRequest& request() const { return request_; }

  void Answer(HttpAnswer answer);  // once
  // Or a stream: Begin, then pieces, then End. `filler` goes out, as a piece, when there was none
  // for HttpServerOptions::quiet; empty: nothing does. `gone` is called, once and on one of the
  // server's threads, if the client hangs up, is too slow, or the server stops before the end.
  void Begin(int status, HttpHeaders headers, std::string filler, std::function<void()> gone);
  // `written` is called on one of the server's threads when the client's machine has taken it, and
  // not at all once the client is gone. Who sends much waits for it before the next piece.
  void Write(std::string piece, std::function<void()> written);
  void End();

 private:
  const std::shared_ptr<HttpConnection> connection_;
  const HttpCallerRequest request_;
  bool answered_ = false;
};

class HttpServer {
 public:
  // Called on one of the server's threads, which it must not block; it may answer later.
  using Handler = std::function<void(std::shared_ptr<HttpExchange>)>;
  // The answer to what is no request, or too large: 400, 413, 431.
  using Refusal = std::function<HttpAnswer(int status)>;

  // ALREADY_EXISTS with PORT_IN_USE. INVALID_ARGUMENT: not an address, or not a certificate and its
  // key.
  static absl::StatusOr<std::unique_ptr<HttpServer>> Start(HttpServerOptions options,
                                                           Handler handler, Refusal refusal);
  virtual ~HttpServer() = default;  // exchanges must be gone
  virtual int port() const = 0;
  // Takes no more requests and hangs up on everybody.
  virtual void Stop() = 0;
};

}  // namespace seer
