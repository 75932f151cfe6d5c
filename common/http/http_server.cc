#include "common/http/http_server.h"

#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/ssl.hpp>
#include <chrono>
#include <deque>
#include <optional>
#include <set>
#include <sstream>

#include "absl/base/thread_annotations.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "common/base/address.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/base/thread.h"

namespace seer {
namespace {

namespace beast = boost::beast;
namespace net = boost::asio;
namespace ssl = net::ssl;
using beast::error_code;
using net::ip::tcp;

constexpr int kThreads = 2;
constexpr size_t kWriteBytes = 256 << 10;
constexpr absl::Duration kLinger = absl::Seconds(2);  // for the client to read a last answer

std::chrono::nanoseconds Chrono(absl::Duration duration) {
  return absl::ToChronoNanoseconds(duration);
}

std::string Head(int status, const HttpHeaders& headers) {
  std::string head = absl::StrCat(
      "HTTP/1.1 ", status, " ",
      std::string(beast::http::obsolete_reason(static_cast<beast::http::status>(status))), "\r\n");
  for (const auto& [name, value] : headers) absl::StrAppend(&head, name, ": ", value, "\r\n");
  return head;
}

// "ipv6:[::1]:41234"; "" if it has hung up already.
std::string PeerOf(const tcp::socket& socket) {
  error_code error;
  const tcp::endpoint peer = socket.remote_endpoint(error);
  if (error) return "";
  std::ostringstream text;
  text << (peer.address().is_v4() ? "ipv4:" : "ipv6:") << peer;
  return text.str();
}

std::string Chunk(const std::string& piece) {
  return absl::StrCat(absl::Hex(piece.size()), "\r\n", piece, "\r\n");
}

}  // namespace

// A client's connection: its requests one after the other. State belongs to the strand; public
// methods may be called from any thread.
class HttpConnection : public std::enable_shared_from_this<HttpConnection> {
 public:
  struct Shared {  // of all connections; outlives them
    HttpServerOptions options;
    HttpServer::Handler handler;
    HttpServer::Refusal refusal;
    std::function<void(HttpConnection*)> closed;
  };

  HttpConnection(const Shared& shared, tcp::socket socket, std::shared_ptr<ssl::context> tls)
      : shared_(shared),
        tls_context_(std::move(tls)),
        peer_(PeerOf(socket)),
        quiet_(socket.get_executor()) {
    if (tls_context_) {
      tls_.emplace(std::move(socket), *tls_context_);
    } else {
      plain_.emplace(std::move(socket));
    }
  }
  ~HttpConnection() { shared_.closed(this); }

  void Start() {
    Post([this] {
      if (!tls_) return NextRequest();
      Tcp().expires_after(Chrono(shared_.options.head_timeout));
      tls_->async_handshake(ssl::stream_base::server,
                            [self = shared_from_this()](error_code error) {
                              if (!error) self->NextRequest();
                            });
    });
  }
  void Stop() {
    Post([this] { Close(); });
  }

  void Answer(HttpAnswer answer) {
    Post([this, answer = std::move(answer)]() mutable { SendAnswer(std::move(answer)); });
  }
  void Begin(int status, HttpHeaders headers, std::string filler, std::function<void()> gone) {
    Post([this, status, headers = std::move(headers), filler = std::move(filler),
          gone = std::move(gone)]() mutable {
      if (closed_) return gone();
      gone_ = std::move(gone);
      filler_ = std::move(filler);
      chunked_ = version_ >= 11 && !head_only_;
      if (chunked_) headers.emplace_back("Transfer-Encoding", "chunked");
      headers.emplace_back("Connection", "close");
      streaming_ = true;
      WatchForHangup();
      Queue(Head(status, headers) + "\r\n", nullptr);
      if (head_only_) EndStream();
    });
  }
  void Write(std::string piece, std::function<void()> written) {
    Post([this, piece = std::move(piece), written = std::move(written)]() mutable {
      if (closed_ || ending_) return;
      Queue(chunked_ ? Chunk(piece) : std::move(piece), std::move(written));
    });
  }
  void End() {
    Post([this] {
      if (!closed_ && !ending_) EndStream();
    });
  }

 private:
  using Then = void (HttpConnection::*)();

  beast::tcp_stream& Tcp() { return tls_ ? beast::get_lowest_layer(*tls_) : *plain_; }
  template <typename Use>
  void OnStream(Use use) {
    if (tls_) {
      use(*tls_);
    } else {
      use(*plain_);
    }
  }
  template <typename Task>
  void Post(Task task) {
    net::post(Tcp().get_executor(),
              [self = shared_from_this(), task = std::move(task)]() mutable { task(); });
  }

  void NextRequest() {
    if (closed_) return;
    parser_.emplace();
    parser_->header_limit(static_cast<uint32_t>(shared_.options.max_head_bytes));
    parser_->body_limit(shared_.options.max_body_bytes);
    if (buffer_.size() > 0) return ReadHead();  // sent ahead
    Tcp().expires_after(Chrono(shared_.options.idle_timeout));
    OnStream([&](auto& stream) {
      stream.async_read_some(buffer_.prepare(4096),
                             [self = shared_from_this()](error_code error, size_t bytes) {
                               if (error) return self->Close();
                               self->buffer_.commit(bytes);
                               self->ReadHead();
                             });
    });
  }

  void ReadHead() {
    Tcp().expires_after(Chrono(shared_.options.head_timeout));
    OnStream([&](auto& stream) {
      beast::http::async_read_header(
          stream, buffer_, *parser_, [self = shared_from_this()](error_code error, size_t) {
            if (error) return self->CannotRead(error);
            const auto& request = self->parser_->get();
            if (!beast::iequals(request[beast::http::field::expect], "100-continue"))
              return self->ReadBody();
            self->Send("HTTP/1.1 100 Continue\r\n\r\n", &HttpConnection::ReadBody);
          });
    });
  }

  void ReadBody() {
    Tcp().expires_after(Chrono(shared_.options.body_timeout));
    OnStream([&](auto& stream) {
      beast::http::async_read(stream, buffer_, *parser_,
                              [self = shared_from_this()](error_code error, size_t) {
                                if (error) return self->CannotRead(error);
                                self->Handle();
                              });
    });
  }

  void CannotRead(error_code error) {
    keep_alive_ = false;
    if (error == beast::http::error::header_limit || error == beast::http::error::buffer_overflow)
      return SendAnswer(shared_.refusal(431));
    if (error == beast::http::error::body_limit) return SendAnswer(shared_.refusal(413));
    const bool bad =
        error.category() == make_error_code(beast::http::error::bad_method).category() &&
        error != beast::http::error::end_of_stream && error != beast::http::error::partial_message;
    if (bad) return SendAnswer(shared_.refusal(400));
    Close();  // hung up, or too slow
  }

  void Handle() {
    Tcp().expires_never();
    auto& request = parser_->get();
    version_ = request.version();
    keep_alive_ = request.keep_alive() && ++requests_ < shared_.options.max_requests;
    head_only_ = request.method() == beast::http::verb::head;
    HttpCallerRequest got;
    got.peer = peer_;
    got.method = head_only_ ? "GET" : std::string(request.method_string());
    const std::string target(request.target());
    const size_t mark = std::min(target.find('?'), target.size());
    got.path = target.substr(0, mark);
    got.query = mark < target.size() ? target.substr(mark + 1) : "";
    for (const auto& field : request) {
      std::string& value = got.headers[absl::AsciiStrToLower(std::string(field.name_string()))];
      absl::StrAppend(&value, value.empty() ? "" : ", ", std::string(field.value()));
    }
    got.body = std::move(request.body());
    shared_.handler(std::make_shared<HttpExchange>(shared_from_this(), std::move(got)));
  }

  void SendAnswer(HttpAnswer answer) {
    if (closed_) return;
    answer.headers.emplace_back("Content-Length", absl::StrCat(answer.body.size()));
    answer.headers.emplace_back("Connection", keep_alive_ ? "keep-alive" : "close");
    std::string text = Head(answer.status, answer.headers) + "\r\n";
    if (!head_only_) text += answer.body;
    Send(std::move(text), keep_alive_ ? &HttpConnection::NextRequest : &HttpConnection::Linger);
  }

  // Piece by piece, each within its time.
  void Send(std::string text, Then then) {
    sending_ = std::move(text);
    sent_ = 0;
    SendRest(then);
  }
  void SendRest(Then then) {
    if (closed_) return;
    if (sent_ == sending_.size()) {
      sending_.clear();
      return (this->*then)();
    }
    const size_t bytes = std::min(kWriteBytes, sending_.size() - sent_);
    Tcp().expires_after(Chrono(shared_.options.write_timeout));
    OnStream([&](auto& stream) {
      net::async_write(stream, net::buffer(sending_.data() + sent_, bytes),
                       [self = shared_from_this(), then](error_code error, size_t wrote) {
                         if (error) return self->Close();
                         self->sent_ += wrote;
                         self->SendRest(then);
                       });
    });
  }

  // What a client sends during a stream means nothing; that it hangs up does.
  void WatchForHangup() {
    Tcp().expires_never();
    ReadAndDrop([](HttpConnection& self) { self.Close(); });
  }
  template <typename AtEnd>
  void ReadAndDrop(AtEnd at_end) {
    OnStream([&](auto& stream) {
      stream.async_read_some(net::buffer(dropped_),
                             [self = shared_from_this(), at_end](error_code error, size_t) {
                               if (error) return at_end(*self);
                               if (!self->closed_) self->ReadAndDrop(at_end);
                             });
    });
  }

  void Queue(std::string piece, std::function<void()> written) {
    queue_.emplace_back(std::move(piece), std::move(written));
    if (sending_.empty()) SendNext();
  }
  void SendNext() {
    if (!queue_.empty()) {
      quiet_.cancel();
      return Send(std::move(queue_.front().first), &HttpConnection::PieceSent);
    }
    if (ending_) {
      if (!chunked_) return Linger();
      chunked_ = false;
      return Send("0\r\n\r\n", &HttpConnection::Linger);
    }
    if (filler_.empty()) return;
    quiet_.expires_after(Chrono(shared_.options.quiet));
    quiet_.async_wait([self = shared_from_this()](error_code error) {
      if (error || self->closed_ || self->ending_ || !self->sending_.empty()) return;
      self->Queue(self->chunked_ ? Chunk(self->filler_) : self->filler_, nullptr);
    });
  }
  void PieceSent() {
    const std::function<void()> written = std::move(queue_.front().second);
    queue_.pop_front();
    SendNext();
    if (written) written();
  }
  void EndStream() {
    ending_ = true;
    gone_ = nullptr;
    quiet_.cancel();
    if (sending_.empty()) SendNext();
  }

  // A client that still sends would lose the answer if the connection were just closed.
  void Linger() {
    if (closed_) return;
    error_code ignored;
    if (streaming_) {  // is read all the time
      Tcp().socket().shutdown(tcp::socket::shutdown_send, ignored);
      return Close();
    }
    Tcp().expires_after(Chrono(kLinger));
    if (tls_) {
      tls_->async_shutdown([self = shared_from_this()](error_code) { self->Close(); });
      return;
    }
    Tcp().socket().shutdown(tcp::socket::shutdown_send, ignored);
    ReadAndDrop([](HttpConnection& self) { self.Close(); });
  }

  void Close() {
    if (closed_) return;
    closed_ = true;
    error_code ignored;
    Tcp().socket().close(ignored);
    quiet_.cancel();
    queue_.clear();
    if (const auto gone = std::exchange(gone_, nullptr)) gone();
  }

  const Shared& shared_;
  const std::shared_ptr<ssl::context> tls_context_;
  const std::string peer_;
  std::optional<beast::tcp_stream> plain_;  // one of the two
  std::optional<beast::ssl_stream<beast::tcp_stream>> tls_;
  beast::flat_buffer buffer_;
  std::optional<beast::http::request_parser<beast::http::string_body>> parser_;
  int requests_ = 0;
  unsigned version_ = 11;
  bool keep_alive_ = false;
  bool head_only_ = false;
  bool closed_ = false;
  std::string sending_;  // what is on its way; empty: nothing is
  size_t sent_ = 0;
  // Of a stream:
  bool streaming_ = false;
  bool chunked_ = false;
  bool ending_ = false;
  std::deque<std::pair<std::string, std::function<void()>>> queue_;  // the first is on its way
  std::function<void()> gone_;
  std::string filler_;
  net::steady_timer quiet_;
  std::array<char, 4096> dropped_;
};

HttpExchange::HttpExchange(std::shared_ptr<HttpConnection> connection, HttpCallerRequest request)
    : connection_(std::move(connection)), request_(std::move(request)) {}

HttpExchange::~HttpExchange() {
  if (!answered_) connection_->Answer({500, {}, ""});
}

void HttpExchange::Answer(HttpAnswer answer) {
  answered_ = true;
  connection_->Answer(std::move(answer));
}

void HttpExchange::Begin(int status, HttpHeaders headers, std::string filler,
                         std::function<void()> gone) {
  answered_ = true;
  connection_->Begin(status, std::move(headers), std::move(filler), std::move(gone));
}

void HttpExchange::Write(std::string piece, std::function<void()> written) {
  connection_->Write(std::move(piece), std::move(written));
}

void HttpExchange::End() { connection_->End(); }

namespace {

// The certificate as a context of TLS; another one when the files have changed.
class Certificate {
 public:
  // `client_ca_file`: empty, clients need none.
  Certificate(std::string certificate_file, std::string key_file, std::string client_ca_file)
      : certificate_file_(std::move(certificate_file)),
        key_file_(std::move(key_file)),
        client_ca_file_(std::move(client_ca_file)) {}

  absl::Status Load() {
    const auto stamp = Stamp();
    auto context = std::make_shared<ssl::context>(ssl::context::tls_server);
    context->set_options(ssl::context::no_tlsv1 | ssl::context::no_tlsv1_1);
    error_code error;
    context->use_certificate_chain_file(certificate_file_, error);
    if (!error) context->use_private_key_file(key_file_, ssl::context::pem, error);
    if (error) {
      return Error(absl::StatusCode::kInvalidArgument, reason::kInvalidArgument,
                   absl::StrCat("certificate ", certificate_file_, " and key ", key_file_,
                                " cannot be used: ", error.message()))
          .Field("http")
          .Hint("name PEM files of one pair: the certificate, with its chain, and its private key");
    }
    if (!client_ca_file_.empty()) {
      // Without one OpenSSL refuses who resumes a session, as browsers do.
      SSL_CTX_set_session_id_context(context->native_handle(),
                                     reinterpret_cast<const unsigned char*>("seer"), 4);
      context->set_verify_mode(ssl::verify_peer | ssl::verify_fail_if_no_peer_cert);
      context->load_verify_file(client_ca_file_, error);
      if (error) {
        return Error(absl::StatusCode::kInvalidArgument, reason::kInvalidArgument,
                     absl::StrCat("authorities of clients, ", client_ca_file_,
                                  ", cannot be used: ", error.message()))
            .Field("http")
            .Hint("name a PEM file with the certificates of the authorities");
      }
    }
    context_ = std::move(context);
    stamp_ = stamp;
    return absl::OkStatus();
  }
  // Files that were changed and cannot be used leave the one before.
  std::shared_ptr<ssl::context> Current() {
    if (Stamp() != stamp_) Load().IgnoreError();
    return context_;
  }

 private:
  std::array<int64_t, 3> Stamp() const {
    return {Changed(certificate_file_), Changed(key_file_), Changed(client_ca_file_)};
  }
  static int64_t Changed(const std::string& path) {
    struct stat file {};
    if (::stat(path.c_str(), &file) != 0) return 0;
    return file.st_mtim.tv_sec * 1'000'000'000 + file.st_mtim.tv_nsec;
  }

  const std::string certificate_file_, key_file_, client_ca_file_;
  std::array<int64_t, 3> stamp_{};
  std::shared_ptr<ssl::context> context_;
};

class BeastServer final : public HttpServer {
 public:
  BeastServer(HttpServerOptions options, Handler handler, Refusal refusal)
      : shared_{std::move(options), std::move(handler), std::move(refusal),
                [this](HttpConnection* connection) { Forget(connection); }} {}

  ~BeastServer() override {
    Stop();
    work_.reset();
    threads_.clear();
  }

  absl::Status Listen() {
    const std::string& address = shared_.options.address;
    SEER_ASSIGN_OR_RETURN(const Address wanted, ReadListenAddress("--http", address));
    if (!shared_.options.certificate_file.empty()) {
      certificate_.emplace(shared_.options.certificate_file, shared_.options.key_file,
                           shared_.options.client_ca_file);
      SEER_RETURN_IF_ERROR(certificate_->Load());
    }
    error_code error;
    const auto found =
        tcp::resolver(io_).resolve(wanted.host, absl::StrCat(wanted.port),
                                   tcp::resolver::passive | tcp::resolver::numeric_service, error);
    if (!error) Open(*found.begin(), error);
    if (error) {
      return Error(absl::StatusCode::kAlreadyExists, reason::kPortInUse,
                   absl::StrCat("cannot listen on ", address, ": ", error.message()))
          .Field("http")
          .Hint(
              "stop the process that holds the port (ss -ltnp shows it), or choose another with "
              "--http HOST:PORT; port 0 takes any free one")
          .With("address", address);
    }
    for (int i = 0; i < kThreads; ++i) threads_.emplace_back("http", [this] { io_.run(); });
    net::post(acceptor_.get_executor(), [this] { Accept(); });
    return absl::OkStatus();
  }

  int port() const override { return port_; }

  void Stop() override {
    net::post(acceptor_.get_executor(), [this] {
      error_code ignored;
      acceptor_.close(ignored);
    });
    std::vector<std::shared_ptr<HttpConnection>> alive;  // not let go of under the lock
    {
      absl::MutexLock lock(&mu_);
      stopped_ = true;
      for (HttpConnection* connection : connections_) {
        // One that is being destroyed has nothing to stop.
        if (auto held = connection->weak_from_this().lock()) alive.push_back(std::move(held));
      }
    }
    for (const auto& connection : alive) connection->Stop();
  }

 private:
  void Open(const tcp::endpoint& endpoint, error_code& error) {
    acceptor_.open(endpoint.protocol(), error);
    if (!error) acceptor_.set_option(net::socket_base::reuse_address(true), error);
    if (!error) acceptor_.bind(endpoint, error);
    if (!error) acceptor_.listen(net::socket_base::max_listen_connections, error);
    if (!error) port_ = acceptor_.local_endpoint(error).port();
  }

  void Accept() {
    acceptor_.async_accept(net::make_strand(io_), [this](error_code error, tcp::socket socket) {
      if (!acceptor_.is_open()) return;
      if (!error) Serve(std::move(socket));
      // Without descriptors a moment passes, or this would spin.
      if (error != net::error::no_descriptors) return Accept();
      pause_.expires_after(std::chrono::milliseconds(100));
      pause_.async_wait([this](error_code) {
        if (acceptor_.is_open()) Accept();
      });
    });
  }

  void Serve(tcp::socket socket) {
    error_code ignored;
    socket.set_option(tcp::no_delay(true), ignored);
    socket.set_option(net::socket_base::keep_alive(true), ignored);
    std::shared_ptr<HttpConnection> connection;
    {
      absl::MutexLock lock(&mu_);
      if (stopped_ || connections_.size() >= shared_.options.max_connections) return;
      connection = std::make_shared<HttpConnection>(
          shared_, std::move(socket), certificate_ ? certificate_->Current() : nullptr);
      connections_.insert(connection.get());
    }
    connection->Start();
  }

  void Forget(HttpConnection* connection) {
    absl::MutexLock lock(&mu_);
    connections_.erase(connection);
  }

  const HttpConnection::Shared shared_;
  int port_ = 0;
  std::optional<Certificate> certificate_;  // the acceptor's strand only
  absl::Mutex mu_;
  bool stopped_ ABSL_GUARDED_BY(mu_) = false;
  std::set<HttpConnection*> connections_ ABSL_GUARDED_BY(mu_);
  net::io_context io_{kThreads};  // after what connections use as they go with it
  std::optional<net::executor_work_guard<net::io_context::executor_type>> work_{
      net::make_work_guard(io_)};
  tcp::acceptor acceptor_{net::make_strand(io_)};
  net::steady_timer pause_{acceptor_.get_executor()};
  std::vector<Thread> threads_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<HttpServer>> HttpServer::Start(HttpServerOptions options,
                                                              Handler handler, Refusal refusal) {
  auto server =
      std::make_unique<BeastServer>(std::move(options), std::move(handler), std::move(refusal));
  SEER_RETURN_IF_ERROR(server->Listen());
  return std::unique_ptr<HttpServer>(std::move(server));
}

}  // namespace seer
