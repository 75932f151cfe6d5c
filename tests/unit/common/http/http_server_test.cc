// The HTTP server against clients that behave and clients that do not, over real sockets.
#include "common/http/http_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "common/base/error.h"
#include "common/http/http_client.h"
#include "tests/support/http_socket.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace seer::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

constexpr absl::Duration kShort = absl::Milliseconds(300);
constexpr absl::Duration kPatience = absl::Seconds(20);

class HttpServerTest : public ::testing::Test {
 protected:
  void Start(HttpServerOptions options = {}) {
    auto server = seer::HttpServer::Start(
        std::move(options), [this](std::shared_ptr<HttpExchange> e) { Handle(std::move(e)); },
        [](int status) {
          return HttpAnswer{status, {}, "refused"};
        });
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }
  ~HttpServerTest() override {
    if (server_) server_->Stop();
    held_.reset();
    server_.reset();
  }

  void Handle(std::shared_ptr<HttpExchange> exchange) {
    ++requests_;
    const HttpCallerRequest& request = exchange->request();
    if (request.path == "/drop") return;
    if (request.path == "/stream") {
      exchange->Begin(200, {{"Content-Type", "text/plain"}}, "filler", [this] { gone_.Notify(); });
      held_ = exchange;
      if (request.query == "endless") return Pour(exchange);
      exchange->Write("first", [this] { written_.Notify(); });
      if (request.query == "end") exchange->End();
      return;
    }
    exchange->Answer(
        {200,
         {{"Content-Type", "text/plain"}},
         absl::StrCat(request.method, " ", request.path, "?", request.query, " ", request.body)});
  }
  void Pour(const std::shared_ptr<HttpExchange>& exchange) {
    exchange->Write(std::string(256 << 10, 'x'), [this, exchange] { Pour(exchange); });
  }
  int port() const { return server_->port(); }

  std::unique_ptr<seer::HttpServer> server_;
  std::atomic<int> requests_{0};
  std::shared_ptr<HttpExchange> held_;
  absl::Notification gone_, written_;
};

TEST_F(HttpServerTest, AnswersOneRequestAfterTheOtherOnAConnection) {
  Start();
  HttpSocket socket(port());
  socket.Send("GET /a%20b?c=d HTTP/1.1\r\nHost: x\r\n\r\nPOST /e HTTP/1.1\r\nHost: x\r\n");
  socket.Send("Content-Length: 4\r\n\r\nbody");
  const std::string first = socket.ReadUntil("GET /a%20b?c=d ");
  EXPECT_THAT(first, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(first, HasSubstr("Connection: keep-alive\r\n"));
  EXPECT_THAT(socket.ReadUntil("POST /e? body"), HasSubstr("Content-Length: 13\r\n"));
}

TEST_F(HttpServerTest, SendsOfAHeadRequestNoBody) {
  Start();
  HttpSocket socket(port());
  socket.Send("HEAD /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  const std::string answer = socket.ReadAll();
  EXPECT_THAT(answer, HasSubstr("Content-Length: 8\r\n"));
  EXPECT_THAT(answer, ::testing::EndsWith("\r\n\r\n"));
}

TEST_F(HttpServerTest, AsksForTheBodyThatAClientWaitsToSend) {
  Start();
  HttpSocket socket(port());
  socket.Send("POST /e HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
  socket.ReadUntil("HTTP/1.1 100 Continue\r\n\r\n");
  socket.Send("ab");
  socket.ReadUntil("POST /e? ab");
}

TEST_F(HttpServerTest, AnExchangeThatIsDroppedIsAnswered) {
  Start();
  HttpSocket socket(port());
  socket.Send("GET /drop HTTP/1.1\r\nHost: x\r\n\r\n");
  socket.ReadUntil("HTTP/1.1 500 Internal Server Error\r\n");
}

TEST_F(HttpServerTest, HangsUpOnAClientThatSendsNothing) {
  HttpServerOptions options;
  options.idle_timeout = kShort;
  Start(options);
  HttpSocket socket(port());
  EXPECT_EQ(socket.ReadAll(), "");
}

// A byte now and then does not keep the connection.
TEST_F(HttpServerTest, HangsUpOnAHeadThatDripsIn) {
  HttpServerOptions options;
  options.head_timeout = kShort;
  Start(options);
  HttpSocket socket(port());
  socket.Send("GET / HTTP/1.1\r\nX: ");
  bool closed = false;
  for (int i = 0; i < 1000 && !closed; ++i) {
    socket.Send("a");
    closed = socket.ClosedWithin(absl::Milliseconds(20));
  }
  EXPECT_TRUE(closed);
  EXPECT_EQ(requests_, 0);
}

TEST_F(HttpServerTest, HangsUpOnABodyThatDripsIn) {
  HttpServerOptions options;
  options.body_timeout = kShort;
  Start(options);
  HttpSocket socket(port());
  socket.Send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n");
  bool closed = false;
  for (int i = 0; i < 1000 && !closed; ++i) {
    socket.Send("a");
    closed = socket.ClosedWithin(absl::Milliseconds(20));
  }
  EXPECT_TRUE(closed);
  EXPECT_EQ(requests_, 0);
}

TEST_F(HttpServerTest, RefusesWhatIsTooLarge) {
  HttpServerOptions options;
  options.max_head_bytes = 1000;
  options.max_body_bytes = 1000;
  Start(options);
  HttpSocket head(port());
  head.Send(absl::StrCat("GET / HTTP/1.1\r\nX: ", std::string(2000, 'a'), "\r\n\r\n"));
  EXPECT_THAT(head.ReadAll(), StartsWith("HTTP/1.1 431 "));
  HttpSocket body(port());
  body.Send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1001\r\n\r\n");
  EXPECT_THAT(body.ReadAll(), StartsWith("HTTP/1.1 413 "));
  HttpSocket chunked(port());
  chunked.Send(
      absl::StrCat("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n7d0\r\n",
                   std::string(2000, 'a'), "\r\n0\r\n\r\n"));
  EXPECT_THAT(chunked.ReadAll(), StartsWith("HTTP/1.1 413 "));
  EXPECT_EQ(requests_, 0);
}

TEST_F(HttpServerTest, RefusesWhatIsNoRequest) {
  Start();
  HttpSocket socket(port());
  socket.Send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");  // how a gRPC client begins
  EXPECT_THAT(socket.ReadAll(), StartsWith("HTTP/1.1 400 "));
  EXPECT_EQ(requests_, 0);
}

TEST_F(HttpServerTest, ClosesConnectionsBeyondTheLimit) {
  HttpServerOptions options;
  options.max_connections = 1;
  Start(options);
  HttpSocket first(port());
  first.Send("GET /a HTTP/1.1\r\nHost: x\r\n\r\n");
  first.ReadUntil("GET /a?");
  EXPECT_EQ(HttpSocket(port()).ReadAll(), "");
  first.Send("GET /b HTTP/1.1\r\nHost: x\r\n\r\n");
  first.ReadUntil("GET /b?");
}

TEST_F(HttpServerTest, ClosesAConnectionAfterItsLastRequest) {
  HttpServerOptions options;
  options.max_requests = 2;
  Start(options);
  HttpSocket socket(port());
  for (int i = 0; i < 3; ++i) socket.Send("GET /a HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_THAT(socket.ReadAll(), HasSubstr("Connection: close\r\n"));
  EXPECT_EQ(requests_, 2);
}

TEST_F(HttpServerTest, StreamsInChunks) {
  Start();
  HttpSocket socket(port());
  socket.Send("GET /stream?end HTTP/1.1\r\nHost: x\r\n\r\n");
  const std::string answer = socket.ReadAll();
  EXPECT_THAT(answer, HasSubstr("Transfer-Encoding: chunked\r\n"));
  EXPECT_THAT(answer, ::testing::EndsWith("\r\n\r\n5\r\nfirst\r\n0\r\n\r\n"));
  EXPECT_FALSE(gone_.HasBeenNotified());
}

TEST_F(HttpServerTest, StreamsToAnOldClientWithoutChunks) {
  Start();
  HttpSocket socket(port());
  socket.Send("GET /stream?end HTTP/1.0\r\n\r\n");
  EXPECT_THAT(socket.ReadAll(), ::testing::EndsWith("\r\n\r\nfirst"));
}

TEST_F(HttpServerTest, SendsTheFillerWhenAStreamIsQuiet) {
  HttpServerOptions options;
  options.quiet = absl::Milliseconds(50);
  Start(options);
  HttpSocket socket(port());
  socket.Send("GET /stream HTTP/1.1\r\nHost: x\r\n\r\n");
  socket.ReadUntil("6\r\nfiller\r\n6\r\nfiller\r\n");
  EXPECT_TRUE(written_.WaitForNotificationWithTimeout(kPatience));
}

TEST_F(HttpServerTest, NoticesThatTheReaderOfAStreamHungUp) {
  Start();
  {
    HttpSocket socket(port());
    socket.Send("GET /stream HTTP/1.1\r\nHost: x\r\n\r\n");
    socket.ReadUntil("first");
  }
  EXPECT_TRUE(gone_.WaitForNotificationWithTimeout(kPatience));
}

TEST_F(HttpServerTest, HangsUpOnAReaderThatTakesNothing) {
  HttpServerOptions options;
  options.write_timeout = kShort;
  Start(options);
  HttpSocket socket(port());
  socket.Send("GET /stream?endless HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_TRUE(gone_.WaitForNotificationWithTimeout(kPatience));
}

TEST_F(HttpServerTest, HangsUpOnEverybodyWhenItStops) {
  Start();
  HttpSocket idle(port()), reading(port());
  reading.Send("GET /stream HTTP/1.1\r\nHost: x\r\n\r\n");
  reading.ReadUntil("first");
  idle.Send("GET /a HTTP/1.1\r\nHost: x\r\n\r\n");
  idle.ReadUntil("GET /a?");
  server_->Stop();
  reading.ReadAll();
  idle.ReadAll();
  EXPECT_TRUE(gone_.WaitForNotificationWithTimeout(kPatience));
}

TEST_F(HttpServerTest, SaysThatThePortIsTakenOrTheAddressNone) {
  Start();
  HttpServerOptions options;
  options.address = absl::StrCat("127.0.0.1:", port());
  EXPECT_THAT(seer::HttpServer::Start(options, nullptr, nullptr),
              FailsWith(absl::StatusCode::kAlreadyExists, reason::kPortInUse, options.address));
  for (const char* address : {"7071", ":7071", "127.0.0.1:http", "127.0.0.1:70000"}) {
    options.address = address;
    EXPECT_THAT(seer::HttpServer::Start(options, nullptr, nullptr),
                FailsWith(absl::StatusCode::kInvalidArgument, reason::kInvalidArgument, address));
  }
}

class HttpsTest : public HttpServerTest {
 protected:
  void MakeCertificate(const std::string& name) {
    const std::string command = absl::StrCat(
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj "
        "/CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1 -keyout ",
        dir_ / (name + ".key"), " -out ", dir_ / (name + ".pem"), " 2>", dir_ / "openssl.log");
    ASSERT_EQ(std::system(command.c_str()), 0);
  }
  absl::StatusOr<HttpResponse> Get(const std::string& path, const std::string& trusted) {
    HttpRequest request;
    request.url = absl::StrCat("https://127.0.0.1:", port(), path);
    request.ca_file = dir_ / (trusted + ".pem");
    return HttpClient().Do(request);
  }
  HttpServerOptions Options(const std::string& name) {
    HttpServerOptions options;
    options.certificate_file = dir_ / (name + ".pem");
    options.key_file = dir_ / (name + ".key");
    return options;
  }

  TempDir dir_;
};

TEST_F(HttpsTest, ServesWithItsCertificate) {
  MakeCertificate("a");
  MakeCertificate("b");
  Start(Options("a"));
  const auto answer = Get("/a", "a");
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->body, "GET /a? ");
  const auto stream = Get("/stream?end", "a");
  ASSERT_TRUE(stream.ok()) << stream.status();
  EXPECT_EQ(stream->body, "first");
  EXPECT_FALSE(Get("/a", "b").ok());
}

TEST_F(HttpsTest, TakesANewCertificateWithoutAStop) {
  MakeCertificate("a");
  MakeCertificate("b");
  Start(Options("a"));
  ASSERT_TRUE(Get("/a", "a").ok());
  std::filesystem::copy_file(dir_ / "a.pem", dir_ / "old.pem");
  // Of another pair than the certificate, for a moment: the old one is served.
  std::filesystem::rename(dir_ / "b.key", dir_ / "a.key");
  EXPECT_TRUE(Get("/a", "old").ok());
  std::filesystem::copy_file(dir_ / "b.pem", dir_ / "a.pem",
                             std::filesystem::copy_options::overwrite_existing);
  EXPECT_TRUE(Get("/a", "b").ok());
  EXPECT_FALSE(Get("/a", "old").ok());
}

TEST_F(HttpsTest, HangsUpOnAHandshakeThatDoesNotCome) {
  MakeCertificate("a");
  HttpServerOptions options = Options("a");
  options.head_timeout = kShort;
  Start(options);
  EXPECT_EQ(HttpSocket(port()).ReadAll(), "");
}

TEST_F(HttpsTest, SaysThatTheCertificateCannotBeUsed) {
  MakeCertificate("a");
  HttpServerOptions options = Options("a");
  options.key_file = dir_ / "none.key";
  EXPECT_THAT(seer::HttpServer::Start(options, nullptr, nullptr),
              FailsWith(absl::StatusCode::kInvalidArgument, reason::kInvalidArgument, "none.key"));
}

}  // namespace
}  // namespace seer::testing
