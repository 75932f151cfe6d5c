// A cluster of real processes with TLS and tokens, from the first admin to a job that has trained;
// and no secret in anything that is written or shown.
#include <gtest/gtest.h>
#include <signal.h>

#include <fstream>
#include <memory>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "tests/e2e/cluster.h"
#include "tests/e2e/process.h"
#include "tests/support/certificates.h"

namespace seer::e2e {
namespace {

namespace fs = std::filesystem;
using testing::CertificateAuthority;
using testing::CertificateFiles;

constexpr char kAdmin[] = "5b1f0c7e9a3d4c6b8e2f1a0d9c8b7a6f5b1f0c7e9a3d4c6b8e2f1a0d9c8b7a6f";
constexpr char kUrlPassword[] = "the-password-of-a-hook", kUrlToken[] = "the-token-of-a-hook";
constexpr char kWebhookSecret[] = "a-secret-that-signs-posts";

class SecurityTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::ofstream(Path("admin.token")) << kAdmin << "\n";
    std::ofstream(Path("webhook.secret")) << kWebhookSecret << "\n";
    authority_ = std::make_unique<CertificateAuthority>(cluster_.root(), "ours");
    server_ = authority_->Issue("server", {"IP:127.0.0.1"});
    client_ = authority_->Issue("client", {});
    // Each needs the other's address: the coordinator's port is known after a first start.
    StartCoordinator("127.0.0.1:0", "127.0.0.1:1");
    const std::string coordinator = Address("coordinator");
    coordinator_->End(SIGTERM);
    StartDataService(coordinator);
    fs::remove(Path("coordinator.ports"));
    StartCoordinator(coordinator, Address("dataservice"));
    ASSERT_EQ(Address("coordinator"), coordinator);
  }
  void TearDown() override {
    if (!HasFailure()) return;
    for (const auto& process : {coordinator_.get(), dataservice_.get(), worker_.get()})
      if (process != nullptr) std::puts(process->log().c_str());
  }

  std::string Path(const std::string& name) const { return (cluster_.root() / name).string(); }
  std::string Address(const std::string& process) const {
    WaitFor([&] { return fs::exists(Path(process + ".ports")); });
    return absl::StrCat("127.0.0.1:", std::atoi(ReadAll(Path(process + ".ports")).c_str()));
  }
  // Mutual TLS everywhere.
  std::vector<std::string> ServerArguments() const {
    return {"--tls-cert",       server_.certificate, "--tls-key",        server_.key, "--tls-ca",
            authority_->file(), "--tls-client-ca",   authority_->file(), "--auth",    "tokens"};
  }
  std::string ClientArguments() const {
    return absl::StrCat(" --tls-ca ", authority_->file(), " --tls-cert ", client_.certificate,
                        " --tls-key ", client_.key);
  }
  void StartCoordinator(const std::string& listen, const std::string& data) {
    std::vector<std::string> arguments = {"seer-coordinator",
                                          "--listen",
                                          listen,
                                          "--database",
                                          Path("state/coordinator.db"),
                                          "--storage",
                                          Path("storage"),
                                          "--dataservice",
                                          data,
                                          "--bootstrap-token-file",
                                          Path("admin.token"),
                                          "--webhook-secret-file",
                                          Path("webhook.secret"),
                                          "--port-file",
                                          Path("coordinator.ports")};
    const auto security = ServerArguments();
    arguments.insert(arguments.end(), security.begin(), security.end());
    coordinator_ = std::make_unique<Process>(arguments, Path("coordinator.log"));
  }
  void StartDataService(const std::string& coordinator) {
    std::vector<std::string> arguments = {
        "seer-dataservice", "--listen",    "127.0.0.1:0",
        "--pools",          Path("pools"), "--coordinator",
        coordinator,        "--port-file", Path("dataservice.ports")};
    const auto security = ServerArguments();
    arguments.insert(arguments.end(), security.begin(), security.end());
    dataservice_ = std::make_unique<Process>(arguments, Path("dataservice.log"));
  }
  Result LogIn(const std::string& file) const {
    return cluster_.Seer(absl::StrCat("auth login --coordinator ", Address("coordinator"),
                                      " --dataservice ", Address("dataservice"), ClientArguments(),
                                      " --token-file ", file));
  }
  // The secret, which is also written to "<name>.token".
  std::string Token(const std::string& name, const std::string& options) const {
    const Result made =
        cluster_.Seer(absl::StrCat("auth token create ", name, " ", options, " 2>/dev/null"));
    EXPECT_EQ(made.code, 0) << made.out;
    std::ofstream(Path(name + ".token")) << made.out;
    return std::string(absl::StripAsciiWhitespace(made.out));
  }

  Cluster cluster_;
  std::unique_ptr<CertificateAuthority> authority_;
  CertificateFiles server_, client_;
  std::unique_ptr<Process> coordinator_, dataservice_, worker_;
};

TEST_F(SecurityTest, AJobTrainsToItsEndAndNoSecretIsSeenAnywhere) {
  const Result stranger = cluster_.Seer(
      absl::StrCat("job list --coordinator ", Address("coordinator"), ClientArguments()));
  EXPECT_EQ(stranger.code, 4) << stranger.out;
  EXPECT_TRUE(absl::StrContains(stranger.out, "hint: `seer auth login")) << stranger.out;
  std::ofstream(Path("wrong.token")) << "seer_wrong\n";
  EXPECT_EQ(LogIn(Path("wrong.token")).code, 4);
  EXPECT_FALSE(fs::exists(Path("config.yaml"))) << "what does not work is not kept";
  const Result in = LogIn(Path("admin.token"));
  ASSERT_EQ(in.code, 0) << in.out;
  EXPECT_TRUE(absl::StrContains(in.out, "bootstrap")) << in.out;
  EXPECT_EQ(fs::status(Path("config.yaml")).permissions(),
            fs::perms::owner_read | fs::perms::owner_write);

  const std::string agents = Token("agents", "--role worker"),
                    viewer = Token("looker", "--role viewer --expires 1d"),
                    submitter = Token("ci", "--role submitter --queue default");
  ASSERT_TRUE(absl::StartsWith(agents, "seer_")) << agents;
  worker_ = std::make_unique<Process>(
      std::vector<std::string>{"seer-worker", "--coordinator", Address("coordinator"), "--name",
                               "w", "--devices", "2", "--work-dir", Path("work"), "--tls-ca",
                               authority_->file(), "--tls-cert", client_.certificate, "--tls-key",
                               client_.key, "--token-file", Path("agents.token")},
      Path("worker.log"));
  cluster_.AddDigits();
  WaitFor([&] { return absl::StrContains(cluster_.Seer("worker list").out, " UP"); });

  const auto as = [](const std::string& token) { return absl::StrCat(" --token-file ", token); };
  const Result refused =
      cluster_.Seer(absl::StrCat("job submit ", Cluster::Recipe(), as(Path("looker.token"))));
  EXPECT_EQ(refused.code, 4) << refused.out;
  EXPECT_TRUE(absl::StrContains(refused.out, "submitter")) << refused.out;
  const std::string job = cluster_.Submit(absl::StrCat(
      "--set distributed.ranks=2 --set 'alerts.webhooks=[{url: \"http://hook:", kUrlPassword,
      "@127.0.0.1:1/hook?token=", kUrlToken, "\", events: [RUNNING]}]'", as(Path("ci.token"))));
  ASSERT_FALSE(job.empty());
  const Result waited = cluster_.Wait(job);
  EXPECT_EQ(waited.code, 0) << waited.out << cluster_.Seer("job logs " + job).out;

  EXPECT_EQ(cluster_.Seer("auth token revoke looker --yes").code, 0);
  const Result revoked = cluster_.Seer(absl::StrCat("job list", as(Path("looker.token"))));
  EXPECT_EQ(revoked.code, 4) << revoked.out;
  const Result audit = cluster_.Seer("auth audit -o wide");
  EXPECT_TRUE(absl::StrContains(audit.out, "tokens/ci")) << audit.out;

  // Whatever is shown or written, but for the files that hold them.
  std::string shown = audit.out;
  for (const std::string& command :
       {absl::StrCat("job describe ", job, " -o json"),
        absl::StrCat("job describe ", job, " -o yaml"), absl::StrCat("job export-config ", job),
        absl::StrCat("job events ", job), absl::StrCat("job logs ", job),
        std::string("auth token list -o json"), std::string("auth whoami -o json"),
        std::string("auth audit -o json"),
        std::string("job list --coordinator 127.0.0.1:1 --token-file ") + Path("ci.token")})
    absl::StrAppend(&shown, cluster_.Seer(command).out);
  EXPECT_TRUE(absl::StrContains(shown, "http://***@127.0.0.1:1/hook?token=***")) << shown;
  // The database has them, for use.
  for (const std::string& text : {shown, coordinator_->log(), worker_->log()}) {
    for (const char* secret : {kUrlPassword, kUrlToken})
      EXPECT_FALSE(absl::StrContains(text, secret)) << text;
  }
  for (const auto& entry : fs::directory_iterator("/proc")) {
    const std::string arguments = ReadAll(entry.path() / "cmdline");
    if (absl::StrContains(arguments, "seer-")) absl::StrAppend(&shown, arguments, "\n");
  }
  for (const auto& entry : fs::recursive_directory_iterator(cluster_.root())) {
    const std::string name = entry.path().filename().string();
    if (!entry.is_regular_file() || name == "config.yaml" || absl::EndsWith(name, ".token") ||
        absl::EndsWith(name, ".secret"))
      continue;
    absl::StrAppend(&shown, ReadAll(entry.path()));
  }
  for (const std::string& secret :
       {agents, viewer, submitter, std::string(kAdmin), std::string(kWebhookSecret)})
    EXPECT_FALSE(absl::StrContains(shown, secret)) << "a secret was shown";

  EXPECT_EQ(cluster_.Seer("auth logout").code, 0);
  EXPECT_FALSE(absl::StrContains(ReadAll(Path("config.yaml")), kAdmin));
  EXPECT_EQ(cluster_.Seer("job list").code, 4);
}

}  // namespace
}  // namespace seer::e2e
