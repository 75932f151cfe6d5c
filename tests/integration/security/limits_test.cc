// What a server bears: connections that say nothing, clients that call too often.
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "common/access/guard.h"
#include "common/access/remote_authenticator.h"
#include "common/rpc/channel.h"
#include "common/rpc/server.h"
#include "common/rpc/status_grpc.h"
#include "seer/v1/workers.grpc.pb.h"
#include "tests/support/certificates.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace seer::access {
namespace {

using absl::StatusCode;
using testing::CertificateAuthority;
using testing::FailsWith;
using testing::TempDir;

// Every token but "bad" is a viewer's of its own name.
class EachIsItself final : public Authenticator {
 public:
  absl::StatusOr<Principal> Authenticate(const std::string& token) override {
    if (token == "bad")
      return Error(StatusCode::kUnauthenticated, reason::kTokenInvalid, "it is bad");
    return Principal{token, {{token == "agent" ? Role::kWorker : Role::kOperator, "", ""}}};
  }
};

// GetWorker waits while it is told to.
class Workers final : public v1::Workers::Service {
 public:
  grpc::Status GetWorker(grpc::ServerContext*, const v1::GetWorkerRequest*, v1::Worker*) override {
    absl::MutexLock lock(&mu_);
    ++waiting_;
    mu_.Await(absl::Condition(&open_));
    return grpc::Status::OK;
  }
  grpc::Status ListWorkers(grpc::ServerContext*, const v1::ListWorkersRequest*,
                           v1::ListWorkersResponse*) override {
    return grpc::Status::OK;
  }
  void AwaitWaiting(int count) {
    absl::MutexLock lock(&mu_);
    const auto enough = [&] {
      mu_.AssertReaderHeld();
      return waiting_ >= count;
    };
    ASSERT_TRUE(mu_.AwaitWithTimeout(absl::Condition(&enough), absl::Seconds(20)));
  }
  void Open() {
    absl::MutexLock lock(&mu_);
    open_ = true;
  }

 private:
  absl::Mutex mu_;
  int waiting_ ABSL_GUARDED_BY(mu_) = 0;
  bool open_ ABSL_GUARDED_BY(mu_) = false;
};

class LimitsTest : public ::testing::Test {
 protected:
  void Start(GuardOptions limits, RpcServerOptions options = {}) {
    guard_ = std::make_unique<AccessGuard>(
        everybody_, nullptr,
        [this](const AuditEntry& entry, const std::string&) { audited_.push_back(entry); }, clock_,
        limits);
    options.guard = guard_.get();
    ASSERT_OK_AND_ASSIGN(server_,
                         RpcServer::Start(options, {Served<v1::Workers>(workers_)}, metrics_));
  }
  std::unique_ptr<v1::Workers::Stub> Stub(const std::string& token) const {
    SecurityOptions options;
    options.token = token;
    return v1::Workers::NewStub(MakeChannel({server_->address()}, *ClientSecurity::Open(options)));
  }
  absl::Status List(const std::string& token) const {
    grpc::ClientContext context;
    v1::ListWorkersResponse response;
    return FromGrpc(Stub(token)->ListWorkers(&context, v1::ListWorkersRequest(), &response));
  }

  FakeClock clock_;
  EachIsItself everybody_;
  Workers workers_;
  MetricsRegistry metrics_;
  std::vector<AuditEntry> audited_;
  std::unique_ptr<AccessGuard> guard_;
  std::unique_ptr<RpcServer> server_;
};

const auto kTooMany = FailsWith(StatusCode::kResourceExhausted, reason::kTooManyCalls, "");

TEST_F(LimitsTest, WhoCallsTooOftenWaitsAndOthersDoNot) {
  Start({.calls_a_second = 2, .burst = 3});
  for (int i = 0; i < 3; ++i) EXPECT_OK(List("ann"));
  EXPECT_THAT(List("ann"), kTooMany);
  EXPECT_OK(List("bob"));
  clock_.Advance(absl::Milliseconds(500));
  EXPECT_OK(List("ann"));
  EXPECT_THAT(List("ann"), kTooMany);
  clock_.Advance(absl::Hours(1));
  for (int i = 0; i < 3; ++i) EXPECT_OK(List("ann"));
  EXPECT_THAT(List("ann"), kTooMany) << "what was saved up is no more than the burst";
}

TEST_F(LimitsTest, GuessedTokensOfAHostAreSoonNotLookedAt) {
  Start({.calls_a_second = 1, .burst = 2});
  const auto bad = FailsWith(StatusCode::kUnauthenticated, reason::kTokenInvalid, "");
  EXPECT_THAT(List("bad"), bad);
  EXPECT_THAT(List("bad"), bad);
  EXPECT_THAT(List("bad"), kTooMany);
  clock_.Advance(absl::Seconds(1));
  EXPECT_THAT(List("bad"), bad);
}

TEST_F(LimitsTest, AClientHasSoManyCallsAtATime) {
  Start({.calls_at_once = 2});
  std::vector<std::thread> callers;
  for (int i = 0; i < 2; ++i) {
    callers.emplace_back([this] {
      grpc::ClientContext context;
      v1::Worker worker;
      EXPECT_OK(FromGrpc(Stub("ann")->GetWorker(&context, v1::GetWorkerRequest(), &worker)));
    });
  }
  workers_.AwaitWaiting(2);
  EXPECT_THAT(List("ann"), kTooMany);
  EXPECT_OK(List("bob"));
  workers_.Open();
  for (std::thread& caller : callers) caller.join();
  EXPECT_OK(List("ann"));
}

TEST_F(LimitsTest, AWorkersCallIsNoViewers) {
  Start({});
  EXPECT_THAT(List("agent"), FailsWith(StatusCode::kPermissionDenied, reason::kRoleTooLow, ""));
}

TEST_F(LimitsTest, ChangesAreAuditedWithTheirEndAndWhatIsReadIsNot) {
  Start({});
  EXPECT_OK(List("ann"));
  grpc::ClientContext context;
  v1::CordonWorkerRequest request;
  request.set_name("workers/w");
  v1::Worker worker;
  EXPECT_EQ(Stub("ann")->CordonWorker(&context, request, &worker).error_code(),
            grpc::StatusCode::UNIMPLEMENTED);
  ASSERT_EQ(audited_.size(), 1u);
  EXPECT_EQ(audited_[0].who, "ann");
  EXPECT_EQ(audited_[0].method, "seer.v1.Workers/CordonWorker");
  EXPECT_EQ(audited_[0].resource, "workers/w");
  EXPECT_EQ(audited_[0].code, "UNIMPLEMENTED");
}

// A connection without a word, or with half of one; the server's end of it.
bool HungUpOn(int port, const std::string& word) {
  const int connection = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(connect(connection, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  EXPECT_EQ(send(connection, word.data(), word.size(), MSG_NOSIGNAL),
            static_cast<ssize_t>(word.size()));
  bool over = false;
  pollfd waiting{connection, POLLIN, 0};
  while (!over && poll(&waiting, 1, 20'000) == 1) {
    char bytes[4096];
    over = recv(connection, bytes, sizeof(bytes), 0) <= 0;
  }
  close(connection);
  return over;
}

TEST_F(LimitsTest, AConnectionThatNeverGreetsIsClosed) {
  Start({}, {.handshake_timeout = absl::Milliseconds(300)});
  EXPECT_TRUE(HungUpOn(server_->port(), ""));
  EXPECT_TRUE(HungUpOn(server_->port(), "PRI * HTTP/2.0\r\n"));
  EXPECT_OK(List("ann"));
}

TEST_F(LimitsTest, AConnectionThatNeverEndsItsHandshakeIsClosed) {
  const TempDir dir;
  const CertificateAuthority authority(dir.path(), "ours");
  const auto files = authority.Issue("server", {"IP:127.0.0.1"});
  RpcServerOptions options{.handshake_timeout = absl::Milliseconds(300)};
  options.security.certificate = files.certificate;
  options.security.key = files.key;
  Start({}, options);
  EXPECT_TRUE(HungUpOn(server_->port(), ""));
  EXPECT_TRUE(HungUpOn(server_->port(), "\x16\x03\x01\x02"));
}

TEST_F(LimitsTest, AConnectionWithoutACallIsClosedInTheEnd) {
  Start({}, {.max_idle = absl::Milliseconds(300)});
  const auto channel = MakeChannel({server_->address()});
  ASSERT_TRUE(
      channel->WaitForConnected(std::chrono::system_clock::now() + std::chrono::seconds(20)));
  EXPECT_TRUE(channel->WaitForStateChange(
      GRPC_CHANNEL_READY, std::chrono::system_clock::now() + std::chrono::seconds(20)));
}

TEST_F(LimitsTest, TheCertificatesEndIsAMetric) {
  const TempDir dir;
  const CertificateAuthority authority(dir.path(), "ours");
  const auto files = authority.Issue("server", {"IP:127.0.0.1"}, absl::Hours(24));
  RpcServerOptions options;
  options.security.certificate = files.certificate;
  options.security.key = files.key;
  Start({}, options);
  ASSERT_OK_AND_ASSIGN(const absl::Time end, CertificateExpiry(files.certificate));
  EXPECT_LT(absl::AbsDuration(end - Clock::Real().Now() - absl::Hours(24)), absl::Minutes(5));
  EXPECT_THAT(metrics_.Render(),
              ::testing::HasSubstr("seer_tls_certificate_expiry_timestamp_seconds 1"));
}

// Answers as it is told, and counts.
class FakeAccess final : public v1::Access::Service {
 public:
  grpc::Status Authenticate(grpc::ServerContext* context, const v1::AuthenticateRequest*,
                            v1::Principal* out) override {
    absl::MutexLock lock(&mu);
    ++asked;
    const auto token = TokenOf(*context);
    if (!token.ok() || *token == "bad")
      return ToGrpc(Error(StatusCode::kUnauthenticated, reason::kTokenInvalid, "it is bad"));
    out->set_name("tokens/" + *token);
    out->add_grants()->set_role("viewer");
    return grpc::Status::OK;
  }
  absl::Mutex mu;
  int asked ABSL_GUARDED_BY(mu) = 0;
};

TEST(RemoteAuthenticator, AsksOnceAMinuteAndDoesWithoutForTen) {
  FakeAccess access;
  MetricsRegistry metrics;
  ASSERT_OK_AND_ASSIGN(auto server, RpcServer::Start({}, {&access}, metrics));
  FakeClock clock;
  RemoteAuthenticator remote(v1::Access::NewStub(MakeChannel({server->address()})), clock);
  const auto asked = [&] {
    absl::MutexLock lock(&access.mu);
    return access.asked;
  };
  const auto bad = FailsWith(StatusCode::kUnauthenticated, reason::kTokenInvalid, "");
  for (int i = 0; i < 3; ++i) {
    ASSERT_OK_AND_ASSIGN(const Principal ann, remote.Authenticate("ann"));
    EXPECT_EQ(ann.name, "tokens/ann");
    EXPECT_THAT(remote.Authenticate("bad"), bad);
  }
  EXPECT_EQ(asked(), 2);
  clock.Advance(RemoteAuthenticator::kKept);
  EXPECT_OK(remote.Authenticate("ann"));
  EXPECT_EQ(asked(), 3);
  server->Stop();
  clock.Advance(RemoteAuthenticator::kKept);
  EXPECT_OK(remote.Authenticate("ann")) << "the coordinator is away";
  EXPECT_THAT(remote.Authenticate("eve"), testing::StatusIs(StatusCode::kUnavailable));
  clock.Advance(RemoteAuthenticator::kKeptAlone);
  EXPECT_THAT(remote.Authenticate("ann"), testing::StatusIs(StatusCode::kUnavailable));
}

}  // namespace
}  // namespace seer::access
