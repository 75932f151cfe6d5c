// A coordinator that asks everybody who they are: real sockets, real certificates.
#include <gmock/gmock.h>

#include <fstream>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/digest.h"
#include "common/base/error.h"
#include "coordinator/store/store.h"
#include "seer/internal/v1/agent.grpc.pb.h"
#include "seer/internal/v1/trainer.grpc.pb.h"
#include "tests/integration/security/secured_cluster.h"
#include "tests/support/status_matchers.h"

namespace seer::testing {
namespace {

using absl::StatusCode;
using ::testing::ElementsAre;
using ::testing::SizeIs;

const auto kTooLow = FailsWith(StatusCode::kPermissionDenied, reason::kRoleTooLow, "");
const auto kOutOfScope = FailsWith(StatusCode::kPermissionDenied, reason::kOutOfScope, "");

class SecurityTest : public SecuredCluster {
 protected:
  absl::Status MakeQueue(const std::string& name) {
    v1::CreateQueueRequest request;
    request.mutable_queue()->set_name("queues/" + name);
    return Call<v1::Queues>(kBootstrap, &v1::Queues::Stub::CreateQueue, request).status();
  }
  absl::Status Cancel(const std::string& token, const std::string& job) {
    v1::CancelJobRequest request;
    request.set_name(job);
    return Call<v1::Jobs>(token, &v1::Jobs::Stub::CancelJob, request).status();
  }
  absl::Status ListJobs(const std::string& token) {
    return Call<v1::Jobs>(token, &v1::Jobs::Stub::ListJobs, v1::ListJobsRequest()).status();
  }
};

TEST_F(SecurityTest, NobodyIsLetInWithoutATokenOrWithAStrangersOne) {
  Start();
  EXPECT_THAT(ListJobs(""), FailsWith(StatusCode::kUnauthenticated, reason::kTokenMissing, ""));
  EXPECT_THAT(ListJobs("seer_made-up"),
              FailsWith(StatusCode::kUnauthenticated, reason::kTokenInvalid, ""));
  EXPECT_THAT(ListJobs("made-up"),
              FailsWith(StatusCode::kUnauthenticated, reason::kTokenInvalid, ""));
  // A stream both ways is asked, too, and gets the same words.
  const auto stub = internal::v1::Agents::NewStub(Dial(Client("")));
  grpc::ClientContext context;
  const auto stream = stub->Connect(&context);
  internal::v1::CoordinatorMessage message;
  EXPECT_FALSE(stream->Read(&message));
  EXPECT_THAT(FromGrpc(stream->Finish()),
              FailsWith(StatusCode::kUnauthenticated, reason::kTokenMissing, ""));
  const auto who = WhoAmI(Client(kBootstrap));
  ASSERT_OK(who);
  EXPECT_EQ(who->name(), "bootstrap");
  EXPECT_EQ(who->grants(0).role(), "admin");
}

TEST_F(SecurityTest, EachRoleMayWhatThoseBelowItMay) {
  Start();
  const std::string viewer = Token("v", "viewer"), submitter = Token("s", "submitter"),
                    boss = Token("o", "operator");
  EXPECT_OK(ListJobs(viewer));
  EXPECT_THAT(Submit(viewer, "default"), kTooLow);
  const auto job = Submit(submitter, "default");
  EXPECT_OK(job);
  EXPECT_OK(ListJobs(submitter));
  v1::CreateQueueRequest queue;
  queue.mutable_queue()->set_name("queues/q");
  EXPECT_THAT(Call<v1::Queues>(submitter, &v1::Queues::Stub::CreateQueue, queue), kTooLow);
  EXPECT_OK(Call<v1::Queues>(boss, &v1::Queues::Stub::CreateQueue, queue));
  EXPECT_OK(Cancel(boss, job->name()));
  EXPECT_THAT(Call<v1::Access>(boss, &v1::Access::Stub::ListTokens, v1::ListTokensRequest()),
              kTooLow);
}

TEST_F(SecurityTest, WorkersAreNoPeopleAndPeopleNoWorkers) {
  Start();
  const std::string worker = Token("agents", "worker"), admin = Token("root", "admin");
  EXPECT_THAT(ListJobs(worker), kTooLow);
  const auto hello = [&](const std::string& token) {
    const auto stub = internal::v1::Agents::NewStub(Dial(Client(token)));
    grpc::ClientContext context;
    const auto stream = stub->Connect(&context);
    internal::v1::AgentMessage message;
    message.mutable_hello()->set_worker("w");
    message.mutable_hello()->set_address("127.0.0.1");
    stream->Write(message);
    internal::v1::CoordinatorMessage answer;
    const bool welcomed = stream->Read(&answer);
    if (welcomed) context.TryCancel();
    const absl::Status end = FromGrpc(stream->Finish());
    return welcomed ? absl::OkStatus() : end;
  };
  EXPECT_OK(hello(worker));
  EXPECT_THAT(hello(Token("s", "submitter")), kTooLow);
  EXPECT_THAT(Call<internal::v1::Trainers>(Token("v", "viewer"),
                                           &internal::v1::Trainers::Stub::ReportProgress,
                                           internal::v1::ReportProgressRequest()),
              kTooLow);
}

TEST_F(SecurityTest, ABoundRoleEndsAtItsQueue) {
  Start();
  ASSERT_OK(MakeQueue("vision"));
  ASSERT_OK(MakeQueue("speech"));
  const std::string vision = Token("v", "submitter", "vision");
  const auto mine = Submit(vision, "vision");
  ASSERT_OK(mine);
  EXPECT_THAT(Submit(vision, "speech"), kOutOfScope);
  EXPECT_THAT(Submit(vision, ""), kOutOfScope) << "the default queue";
  const auto other = Submit(kBootstrap, "speech");
  ASSERT_OK(other);
  EXPECT_THAT(Cancel(vision, other->name()), kOutOfScope);
  EXPECT_THAT(Cancel(vision, "job_none"), kOutOfScope) << "what is not there is nobody's";
  v1::GetJobRequest look;
  look.set_name(other->name());
  EXPECT_THAT(Call<v1::Jobs>(vision, &v1::Jobs::Stub::GetJob, look), kOutOfScope);
  // Nor can it be moved there.
  v1::UpdateJobRequest move;
  move.mutable_job()->set_name(mine->name());
  move.mutable_job()->mutable_spec()->mutable_scheduling()->set_queue("speech");
  move.mutable_update_mask()->add_paths("spec.scheduling.queue");
  EXPECT_THAT(Call<v1::Jobs>(vision, &v1::Jobs::Stub::UpdateJob, move), kOutOfScope);
  EXPECT_OK(Cancel(vision, mine->name()));
  // A bound admin gives only what it has.
  const std::string admin = Token("a", "admin", "vision");
  v1::CreateTokenRequest token;
  token.mutable_token()->set_name("more");
  token.mutable_token()->set_role("submitter");
  EXPECT_THAT(Call<v1::Access>(admin, &v1::Access::Stub::CreateToken, token), kOutOfScope);
  token.mutable_token()->set_queue("vision");
  EXPECT_OK(Call<v1::Access>(admin, &v1::Access::Stub::CreateToken, token));
  EXPECT_THAT(Call<v1::Access>(admin, &v1::Access::Stub::ListTokens, v1::ListTokensRequest()),
              kOutOfScope);
}

TEST_F(SecurityTest, ABoundRoleEndsAtItsPool) {
  Start();
  const std::string cats = Token("c", "submitter", "", "cats");
  EXPECT_OK(Submit(cats, "default", "cats"));
  EXPECT_THAT(Submit(cats, "default", "dogs"), kOutOfScope);
}

TEST_F(SecurityTest, ARevokedTokenAndOneThatExpiredAreRefusedAlsoAfterARestart) {
  coordinator::TokenRecord old{"old",
                               Sha256Hex("seer_old"),
                               "viewer",
                               "",
                               "",
                               absl::UnixEpoch(),
                               absl::UnixEpoch() + absl::Hours(1)};
  {
    auto database = coordinator::OpenDatabase(config_.database);
    ASSERT_OK(database);
    ASSERT_OK(database->store->access().PutToken(old));
  }
  Start();
  EXPECT_THAT(ListJobs("seer_old"),
              FailsWith(StatusCode::kUnauthenticated, reason::kTokenExpired, "1970"));
  const std::string token = Token("t", "viewer");
  EXPECT_OK(ListJobs(token));
  v1::CreateTokenRequest again;
  again.mutable_token()->set_name("t");
  again.mutable_token()->set_role("viewer");
  EXPECT_THAT(Call<v1::Access>(kBootstrap, &v1::Access::Stub::CreateToken, again),
              FailsWith(StatusCode::kAlreadyExists, reason::kTokenExists, ""));
  v1::RevokeTokenRequest revoke;
  revoke.set_name("tokens/t");
  EXPECT_OK(Call<v1::Access>(kBootstrap, &v1::Access::Stub::RevokeToken, revoke));
  const auto revoked = FailsWith(StatusCode::kUnauthenticated, reason::kTokenRevoked, "");
  EXPECT_THAT(ListJobs(token), revoked);
  server_.reset();
  Start();
  EXPECT_THAT(ListJobs(token), revoked);
  // A new one of the name is another one.
  const std::string next = Token("t", "viewer");
  EXPECT_OK(ListJobs(next));
  EXPECT_THAT(ListJobs(token), FailsWith(StatusCode::kUnauthenticated, reason::kTokenInvalid, ""));
  revoke.set_name("nobody");
  EXPECT_THAT(Call<v1::Access>(kBootstrap, &v1::Access::Stub::RevokeToken, revoke),
              FailsWith(StatusCode::kNotFound, reason::kTokenNotFound, ""));
}

TEST_F(SecurityTest, TokensThatMakeNoSenseAreRefused) {
  Start();
  const auto create = [&](const std::string& name, const std::string& role,
                          const std::string& queue, int64_t expires) {
    v1::CreateTokenRequest request;
    request.mutable_token()->set_name(name);
    request.mutable_token()->set_role(role);
    request.mutable_token()->set_queue(queue);
    if (expires != 0) request.mutable_token()->mutable_expire_time()->set_seconds(expires);
    return Call<v1::Access>(kBootstrap, &v1::Access::Stub::CreateToken, request).status();
  };
  EXPECT_THAT(create("", "viewer", "", 0), StatusIs(StatusCode::kInvalidArgument));
  EXPECT_THAT(create("Bad Name", "viewer", "", 0), StatusIs(StatusCode::kInvalidArgument));
  EXPECT_THAT(create("t", "king", "", 0),
              FailsWith(StatusCode::kInvalidArgument, reason::kInvalidArgument, "no role 'king'"));
  EXPECT_THAT(create("t", "viewer", "none", 0),
              FailsWith(StatusCode::kNotFound, reason::kQueueNotFound, ""));
  EXPECT_THAT(create("t", "worker", "default", 0),
              FailsWith(StatusCode::kInvalidArgument, reason::kInvalidArgument, "cannot be bound"));
  EXPECT_THAT(create("t", "viewer", "", 1),
              FailsWith(StatusCode::kInvalidArgument, reason::kOutOfRange, "within a year"));
  EXPECT_THAT(create("t", "viewer", "", int64_t{1} << 40),
              FailsWith(StatusCode::kInvalidArgument, reason::kOutOfRange, "within a year"));
}

TEST_F(SecurityTest, TheAuditHasEveryChangeOnceAndNoSecret) {
  Start();
  const std::string token = Token("s", "submitter"), viewer = Token("v", "viewer");
  const auto first = Submit(token, "default", "cats", "same");
  const auto again = Submit(token, "default", "cats", "same");
  ASSERT_OK(first);
  ASSERT_OK(again);
  EXPECT_EQ(first->name(), again->name());
  EXPECT_OK(ListJobs(token));
  EXPECT_THAT(Cancel(viewer, first->name()), kTooLow);
  EXPECT_OK(Cancel(token, first->name()));

  std::vector<std::string> lines;
  std::string all;
  for (const v1::AuditEntry& entry : Audit()) {
    lines.push_back(absl::StrCat(entry.principal(), " ", entry.method(), " ", entry.code(),
                                 entry.reason().empty() ? "" : " ", entry.reason()));
    absl::StrAppend(&all, entry.ShortDebugString());
    EXPECT_THAT(entry.peer(), ::testing::StartsWith("ipv4:127.0.0.1:"));
  }
  EXPECT_THAT(lines, ElementsAre("tokens/s seer.v1.Jobs/CancelJob OK",
                                 "tokens/v seer.v1.Jobs/CancelJob PERMISSION_DENIED ROLE_TOO_LOW",
                                 "tokens/s seer.v1.Jobs/CreateJob OK",
                                 "bootstrap seer.v1.Access/CreateToken OK",
                                 "bootstrap seer.v1.Access/CreateToken OK"));
  for (const std::string& secret : {token, viewer, std::string(kBootstrap)})
    EXPECT_EQ(all.find(secret), std::string::npos);

  v1::ListAuditEntriesRequest only;
  only.set_method("CancelJob");
  only.set_principal("tokens/s");
  ASSERT_THAT(Audit(only), SizeIs(1));
  EXPECT_EQ(Audit(only)[0].resource(), first->name());
  v1::ListAuditEntriesRequest paged;
  paged.set_page_size(2);
  size_t entries = 0;
  do {
    const auto page = Call<v1::Access>(kBootstrap, &v1::Access::Stub::ListAuditEntries, paged);
    ASSERT_OK(page);
    entries += static_cast<size_t>(page->entries_size());
    paged.set_page_token(page->next_page_token());
  } while (!paged.page_token().empty());
  EXPECT_EQ(entries, lines.size());
}

TEST_F(SecurityTest, SecretsAreNotInTheDatabase) {
  Start();
  const std::string token = Token("s", "submitter");
  server_.reset();
  for (const char* file : {"coordinator.db", "coordinator.db-wal"}) {
    std::stringstream bytes;
    bytes << std::ifstream(dir_ / file, std::ios::binary).rdbuf();
    EXPECT_EQ(bytes.str().find(token), std::string::npos) << file;
    EXPECT_EQ(bytes.str().find(kBootstrap), std::string::npos) << file;
  }
}

TEST_F(SecurityTest, AServerOfAnotherAuthorityAndAPlainOneAreNotTalkedTo) {
  Start();
  EXPECT_OK(WhoAmI(Client(kBootstrap)));
  const CertificateAuthority other(dir_.path(), "other");
  SecurityOptions options = Client(kBootstrap);
  options.ca = other.file();
  EXPECT_THAT(WhoAmI(options), StatusIs(StatusCode::kUnavailable));
  options.ca = "";  // plain
  EXPECT_THAT(WhoAmI(options), StatusIs(StatusCode::kUnavailable));
}

TEST_F(SecurityTest, ACertificateOfAnotherHostIsRefused) {
  authority_.Issue("coordinator", {"IP:127.0.0.2", "DNS:elsewhere"});
  Start();
  EXPECT_THAT(WhoAmI(Client(kBootstrap)), StatusIs(StatusCode::kUnavailable));
  // A name that the address was resolved from does.
  const auto security = ClientSecurity::Open(Client(kBootstrap));
  ASSERT_OK(security);
  const auto named = (*security)->WithNames({"elsewhere:7070"});
  EXPECT_OK(CallOn<v1::Access>(MakeChannel({address()}, named), &v1::Access::Stub::Authenticate,
                               v1::AuthenticateRequest()));
  // And of several addresses each is checked.
  EXPECT_OK(CallOn<v1::Access>(MakeChannel({address(), "127.0.0.1:1"}, named),
                               &v1::Access::Stub::Authenticate, v1::AuthenticateRequest()));
}

TEST_F(SecurityTest, UnderMutualTlsClientsNeedACertificateOfTheRightAuthority) {
  const CertificateAuthority clients(dir_.path(), "clients"), other(dir_.path(), "other");
  config_.security.client_ca = clients.file();
  Start();
  SecurityOptions options = Client(kBootstrap);
  EXPECT_THAT(WhoAmI(options), StatusIs(StatusCode::kUnavailable));
  const CertificateFiles wrong = other.Issue("wrong", {});
  options.certificate = wrong.certificate;
  options.key = wrong.key;
  EXPECT_THAT(WhoAmI(options), StatusIs(StatusCode::kUnavailable));
  const CertificateFiles right = clients.Issue("right", {});
  options.certificate = right.certificate;
  options.key = right.key;
  EXPECT_OK(WhoAmI(options));
}

TEST_F(SecurityTest, ARotatedCertificateIsShownToNewConnectionsAndOldOnesGoOn) {
  Start();
  const auto old = Dial(Client(kBootstrap));
  const auto ask = [](const std::shared_ptr<grpc::Channel>& channel) {
    return CallOn<v1::Access>(channel, &v1::Access::Stub::Authenticate, v1::AuthenticateRequest())
        .status();
  };
  ASSERT_OK(ask(old));
  const CertificateAuthority next(dir_.path(), "next");
  next.Issue("coordinator", {"IP:127.0.0.1"});
  SecurityOptions options = Client(kBootstrap);
  options.ca = next.file();
  const absl::Time deadline = absl::Now() + absl::Seconds(30);
  absl::Status seen;
  do {
    seen = WhoAmI(options).status();
  } while (!seen.ok() && absl::Now() < deadline);
  EXPECT_OK(seen);
  EXPECT_OK(ask(old));
  EXPECT_THAT(WhoAmI(Client(kBootstrap)), StatusIs(StatusCode::kUnavailable))
      << "a new connection sees the new one";
}

TEST_F(SecurityTest, FilesThatAreNoneAreRefusedAtTheStart) {
  const auto start = [&] { return coordinator::CoordinatorServer::Start(config_).status(); };
  const auto invalid = [](const char* piece) {
    return FailsWith(StatusCode::kInvalidArgument, reason::kTlsInvalid, piece);
  };
  const SecurityOptions good = config_.security;
  config_.security.key = "";
  EXPECT_THAT(start(), invalid("without its key"));
  config_.security = good;
  config_.security.certificate = dir_ / "none.pem";
  EXPECT_THAT(start(), invalid("no certificate can be read"));
  config_.security = good;
  config_.security.key = authority_.Issue("another", {}).key;
  EXPECT_THAT(start(), invalid("is not that of the certificate"));
  config_.security = good;
  config_.security.certificate = config_.security.key = "";
  config_.security.client_ca = authority_.file();
  EXPECT_THAT(start(), invalid("but the server has none"));
  config_.security = good;
  config_.bootstrap_token_file = dir_ / "none";
  EXPECT_THAT(start(),
              FailsWith(StatusCode::kInvalidArgument, reason::kInvalidArgument, "no secret"));
  std::ofstream(dir_ / "short") << "secret\n";
  config_.bootstrap_token_file = dir_ / "short";
  EXPECT_THAT(start(), FailsWith(StatusCode::kInvalidArgument, reason::kOutOfRange, "too short"));
  config_.bootstrap_token_file = dir_ / "bootstrap";
  config_.authenticate = false;
  EXPECT_THAT(start(), FailsWith(StatusCode::kInvalidArgument, reason::kInvalidArgument,
                                 "but nobody is asked"));
}

TEST_F(SecurityTest, OtherMachinesAreServedOnlyWithTlsAndTokens) {
  config_.listen = "0.0.0.0:0";
  Start();
  server_.reset();
  const SecurityOptions secured = config_.security;
  const auto refused = FailsWith(StatusCode::kFailedPrecondition, reason::kInsecureBind, "0.0.0.0");
  const auto start = [&] { return coordinator::CoordinatorServer::Start(config_).status(); };
  config_.security = {};
  EXPECT_THAT(start(), refused);
  config_.security = secured;
  config_.authenticate = false;
  config_.bootstrap_token_file = "";
  EXPECT_THAT(start(), refused);
  config_.security = {};
  config_.listen = "[::]:0";
  EXPECT_THAT(start(), FailsWith(StatusCode::kFailedPrecondition, reason::kInsecureBind, "[::]"));
  config_.security.insecure = true;
  EXPECT_OK(start());
}

TEST_F(SecurityTest, RequestsHaveASize) {
  Start();
  v1::GetJobRequest request;
  request.set_name(std::string(5 << 20, 'x'));
  EXPECT_THAT(Call<v1::Jobs>(kBootstrap, &v1::Jobs::Stub::GetJob, request),
              FailsWith(StatusCode::kInvalidArgument, reason::kRequestTooLarge, "at most 4194304"));
  request.set_name(std::string(17 << 20, 'x'));
  EXPECT_THAT(Call<v1::Jobs>(kBootstrap, &v1::Jobs::Stub::GetJob, request),
              StatusIs(StatusCode::kResourceExhausted));
}

TEST_F(SecurityTest, AnAgentThatSaysNothingIsHungUpOn) {
  config_.hello_limit = absl::Milliseconds(200);
  Start();
  const auto stub = internal::v1::Agents::NewStub(Dial(Client(Token("agents", "worker"))));
  grpc::ClientContext context;
  const auto stream = stub->Connect(&context);
  internal::v1::CoordinatorMessage message;
  EXPECT_FALSE(stream->Read(&message));
  EXPECT_THAT(FromGrpc(stream->Finish()),
              FailsWith(StatusCode::kDeadlineExceeded, reason::kInvalidArgument, "no hello"));
}

TEST_F(SecurityTest, AgentsOfARevokedTokenAreHungUpOn) {
  Start();
  const std::string token = Token("agents", "worker");
  const auto stub = internal::v1::Agents::NewStub(Dial(Client(token)));
  grpc::ClientContext context;
  const auto stream = stub->Connect(&context);
  internal::v1::AgentMessage hello;
  hello.mutable_hello()->set_worker("w");
  hello.mutable_hello()->set_address("127.0.0.1");
  ASSERT_TRUE(stream->Write(hello));
  internal::v1::CoordinatorMessage message;
  ASSERT_TRUE(stream->Read(&message));
  v1::RevokeTokenRequest revoke;
  revoke.set_name("agents");
  ASSERT_OK(Call<v1::Access>(kBootstrap, &v1::Access::Stub::RevokeToken, revoke));
  while (stream->Read(&message)) {
  }
  EXPECT_THAT(FromGrpc(stream->Finish()),
              FailsWith(StatusCode::kUnavailable, reason::kTokenRevoked, ""));
}

}  // namespace
}  // namespace seer::testing
