// The coordinator's HTTP port where callers are known: a certificate if one is asked for, limits
// and audit by the caller's own address. The client is curl.
#include <gmock/gmock.h>

#include <cstdio>
#include <string>

#include "absl/strings/str_cat.h"
#include "tests/integration/security/secured_cluster.h"
#include "tests/support/status_matchers.h"

namespace seer::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

std::string Output(const std::string& command) {
  FILE* pipe = popen(command.c_str(), "r");
  std::string out;
  char piece[4096];
  while (const size_t got = fread(piece, 1, sizeof(piece), pipe)) out.append(piece, got);
  pclose(pipe);
  return out;
}

class SecuredHttp : public SecuredCluster {
 protected:
  SecuredHttp() { config_.http = "127.0.0.1:0"; }
  // Status and body, "200 {...}"; "000" if there was no answer.
  std::string Get(const std::string& path, const std::string& flags) const {
    const bool tls = !config_.security.certificate.empty();
    const std::string command = absl::StrCat(
        "curl -s --max-time 60 -w '%{stderr}%{http_code} ' --cacert ", authority_.file(), " ",
        flags, " '", tls ? "https" : "http", "://127.0.0.1:", server_->http_port(), path, "' 2>&1");
    return Output(command);
  }
  std::string As(const std::string& token) const {
    return absl::StrCat("-H 'Authorization: Bearer ", token, "'");
  }
};

TEST_F(SecuredHttp, UnderMutualTlsCallersNeedACertificate) {
  const CertificateAuthority clients(dir_.path(), "clients"), other(dir_.path(), "other");
  config_.security.client_ca = clients.file();
  Start();
  const auto with = [&](const CertificateFiles& files) {
    return Get("/v1/jobs",
               absl::StrCat(As(kBootstrap), " --cert ", files.certificate, " --key ", files.key));
  };
  EXPECT_EQ(Get("/v1/jobs", As(kBootstrap)), "000 ");
  EXPECT_EQ(with(other.Issue("wrong", {})), "000 ");
  EXPECT_THAT(with(clients.Issue("right", {})), HasSubstr("200 "));
}

// As browsers and proxies do at each new connection.
TEST_F(SecuredHttp, ASessionOfMutualTlsMayBeResumed) {
  const CertificateAuthority clients(dir_.path(), "clients");
  config_.security.client_ca = clients.file();
  Start();
  const CertificateFiles files = clients.Issue("right", {});
  const auto connect = [&](const std::string& session) {
    const std::string command = absl::StrCat(
        "printf 'GET /v1/jobs HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n",
        "Authorization: Bearer ", kBootstrap,
        "\\r\\n\\r\\n' | timeout 20 openssl s_client -ign_eof -connect 127.0.0.1:",
        server_->http_port(), " -CAfile ", authority_.file(), " -cert ", files.certificate,
        " -key ", files.key, " ", session, " ", dir_ / "session", " 2>&1");
    return Output(command);
  };
  EXPECT_THAT(connect("-sess_out"), HasSubstr("HTTP/1.1 200 OK"));
  const std::string again = connect("-sess_in");
  EXPECT_THAT(again, HasSubstr("Reused, TLSv1.3"));
  EXPECT_THAT(again, HasSubstr("HTTP/1.1 200 OK"));
}

TEST_F(SecuredHttp, BrowsersMayComeWithoutACertificateIfThatIsSaid) {
  const CertificateAuthority clients(dir_.path(), "clients");
  config_.security.client_ca = clients.file();
  config_.http_client_certificates = false;
  Start();
  EXPECT_THAT(Get("/v1/jobs", As(kBootstrap)), HasSubstr("200 "));
  EXPECT_THAT(Get("/v1/jobs", ""), HasSubstr("401 "));
  EXPECT_EQ(WhoAmI(Client(kBootstrap)).status().code(), absl::StatusCode::kUnavailable)
      << "gRPC asks for one all the same";
}

TEST_F(SecuredHttp, TheAuditSaysWhoCalledFromWhere) {
  config_.security = {};
  Start();
  EXPECT_THAT(Get("/v1/jobs/none:cancel", As(kBootstrap) + " --interface 127.0.0.9 -H "
                                                           "'x-seer-peer: ipv4:10.9.9.9:1' "
                                                           "--json '{}'"),
              HasSubstr("404 "));
  const auto entries = Audit();
  ASSERT_FALSE(entries.empty());
  EXPECT_EQ(entries[0].method(), "seer.v1.Jobs/CancelJob");
  EXPECT_THAT(entries[0].peer(), StartsWith("ipv4:127.0.0.9:"));
}

// Only callers of this process are believed about whom they call for.
TEST_F(SecuredHttp, AnotherProcessCannotSayThatItCallsForAnother) {
  config_.security = {};
  Start();
  const auto stub = v1::Jobs::NewStub(Dial(Client(kBootstrap)));
  grpc::ClientContext context;
  context.AddMetadata("x-seer-peer", "ipv4:10.9.9.9:1");
  v1::CancelJobRequest request;
  request.set_name("none");
  v1::Job job;
  EXPECT_FALSE(stub->CancelJob(&context, request, &job).ok());
  const auto entries = Audit();
  ASSERT_FALSE(entries.empty());
  EXPECT_THAT(entries[0].peer(), StartsWith("ipv4:127.0.0.1:"));
}

TEST_F(SecuredHttp, WhoGuessesTokensLocksOnlyItselfOut) {
  config_.security = {};
  config_.dataservices = {"127.0.0.1:1"};
  Start();
  const std::string guess = As("seer_bad") + " --interface 127.0.0.9 -o /dev/null";
  // Of a data service as well: there the coordinator would be all callers' host.
  EXPECT_THAT(Get("/v1/jobs?page_size=[1-2000]", guess), HasSubstr("401 429 "));
  EXPECT_THAT(Get("/v1/pools?page_size=[1-20]", guess), HasSubstr("429 "));
  EXPECT_THAT(Get("/v1/jobs", As(kBootstrap)), HasSubstr("200 "));
}

TEST_F(SecuredHttp, AStrangersCallDoesNotReachTheDataService) {
  config_.security = {};
  config_.dataservices = {"127.0.0.1:1"};  // nobody: it would be 503
  Start();
  EXPECT_THAT(Get("/v1/pools", As("seer_bad")), HasSubstr("401 "));
  EXPECT_THAT(Get("/v1/pools", As(kBootstrap)), HasSubstr("503 "));
}

}  // namespace
}  // namespace seer::testing
