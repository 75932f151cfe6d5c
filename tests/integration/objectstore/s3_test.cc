// S3 over real HTTP: the suite of all stores, faults of each kind, credentials, conditional writes.
#include <gtest/gtest.h>

#include <atomic>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/objectstore/open_store.h"
#include "common/objectstore/s3_store.h"
#include "tests/support/object_store_suite.h"
#include "tests/support/s3_server.h"
#include "tests/support/status_matchers.h"

namespace seer {
namespace {

using testing::FailsWith;
using testing::ObjectStoreSuite;
using testing::S3Server;
using testing::StoreParam;
using testing::TempDir;

// One server for the file; every test has a prefix of its own.
class Server final : public ::testing::Environment {
 public:
  void SetUp() override {
    testing::UseCredentials();
    server = std::make_unique<S3Server>();
  }
  void TearDown() override { server.reset(); }
  static std::string NewUri() {
    static std::atomic<int> number{0};
    server->SetFaults("{}");
    return server->Uri(absl::StrCat("test-", ++number));
  }
  static inline std::unique_ptr<S3Server> server;
};
const auto* const environment = ::testing::AddGlobalTestEnvironment(new Server);

std::unique_ptr<ObjectStore> Open(const std::string& uri) {
  auto store = OpenStore(uri);
  EXPECT_OK(store);
  return store.ok() ? std::move(*store) : nullptr;
}

INSTANTIATE_TEST_SUITE_P(
    S3, ObjectStoreSuite,
    ::testing::Values(StoreParam{"s3", [](const TempDir&) { return Open(Server::NewUri()); }},
                      StoreParam{"plain_s3",
                                 [](const TempDir&) { return *OpenS3Store(Server::NewUri()); }}));

class S3Test : public ::testing::Test {
 protected:
  S3Test() : uri_(Server::NewUri()) { testing::UseCredentials(); }
  ~S3Test() override { server().SetFaults("{}"); }
  static S3Server& server() { return *Server::server; }
  const std::string uri_;
};

TEST_F(S3Test, EachFaultIsHiddenByAnotherAttempt) {
  const auto store = Open(uri_);
  const std::string bytes(100'000, 'x');
  for (const char* fault : {"error_500", "slow_down", "reset", "truncate", "short", "lost_reply"}) {
    server().SetFaults(absl::StrCat("{\"", fault, "\": 0.3}"));
    for (int i = 0; i < 8; ++i) {
      const std::string key = absl::StrCat(fault, "/", i);
      ASSERT_OK(store->Put(key, bytes)) << fault;
      ASSERT_OK(store->PutIfAbsent(key + "-new", key)) << fault;
      ASSERT_OK_AND_ASSIGN(const std::string whole, store->Get(key));
      EXPECT_TRUE(whole == bytes) << fault;
      ASSERT_OK_AND_ASSIGN(const std::string part, store->GetRange(key, 50'000, 1'000));
      EXPECT_EQ(part.size(), 1'000u) << fault;
    }
    EXPECT_GE(server().Count(fault), 5) << fault;
    server().SetFaults("{}");
    ASSERT_OK_AND_ASSIGN(const auto listed, store->List(absl::StrCat(fault, "/")));
    EXPECT_EQ(listed.size(), 16u);
  }
}

TEST_F(S3Test, ALargeUploadOutlivesFaultsOfItsParts) {
  const auto store = Open(uri_);
  server().SetFaults(R"({"error_500": 0.1, "slow_down": 0.1, "methods": ["PUT", "POST"]})");
  const std::string bytes(25'000'000, 'y');
  ASSERT_OK(store->Put("large", bytes));
  server().SetFaults("{}");
  EXPECT_TRUE(*store->Get("large") == bytes);
}

TEST_F(S3Test, ACutAnswerIsNeverTakenForAnObject) {
  ASSERT_OK_AND_ASSIGN(const auto store, OpenS3Store(uri_));  // without another attempt
  ASSERT_OK(store->Put("k", std::string(10'000, 'x')));
  for (const char* fault : {"truncate", "short"}) {
    server().SetFaults(absl::StrCat("{\"", fault, "\": 1}"));
    EXPECT_THAT(store->Get("k"), testing::StatusIs(absl::StatusCode::kUnavailable)) << fault;
    EXPECT_THAT(store->GetRange("k", 5, 5'000),
                FailsWith(absl::StatusCode::kUnavailable, reason::kStorageFailed, "bytes"))
        << fault;
  }
}

// The server checks every signature: of the SDK's requests and of our own.
TEST_F(S3Test, CredentialsThatAreMissingWrongExpiredOrNotAllowedAreTold) {
  ASSERT_OK(Open(uri_)->Put("k", "value"));
  testing::UseNoCredentials();
  EXPECT_THAT(OpenStore(uri_), FailsWith(absl::StatusCode::kUnauthenticated,
                                         reason::kStorageNoCredentials, "s3://pools/"));
  testing::UseCredentials(S3Server::kAccessKey, "wrong");
  const auto refused = FailsWith(absl::StatusCode::kUnauthenticated,
                                 reason::kStorageCredentialsRefused, "SignatureDoesNotMatch");
  EXPECT_THAT(Open(uri_)->Get("k"), refused);
  EXPECT_THAT(Open(uri_)->Put("k", "x"), refused);
  EXPECT_THAT(Open(uri_)->List(""), FailsWith(absl::StatusCode::kUnauthenticated,
                                              reason::kStorageCredentialsRefused, ""));
  testing::UseCredentials();
  const auto store = Open(uri_);
  server().SetFaults(R"({"expired": 1})");
  const auto expired = FailsWith(absl::StatusCode::kUnauthenticated,
                                 reason::kStorageCredentialsRefused, "ExpiredToken");
  EXPECT_THAT(store->Get("k"), expired);
  EXPECT_THAT(store->PutIfAbsent("new", "x"), expired);
  EXPECT_THAT(store->List(""), expired);
  EXPECT_FALSE(GetErrorDetail(store->Stat("k").status())->hint.empty());
  server().SetFaults(R"({"denied": 1})");
  EXPECT_THAT(store->Get("k"), FailsWith(absl::StatusCode::kPermissionDenied,
                                         reason::kStorageAccessDenied, "AccessDenied"));
  EXPECT_EQ(server().Count("GET"), 1);  // is not tried again
  server().SetFaults("{}");
  EXPECT_EQ(*store->Get("k"), "value");  // the same store goes on once it is allowed
}

TEST_F(S3Test, AMissingBucketIsNamed) {
  const auto store = Open("s3://no-such-bucket" + uri_.substr(uri_.find('?')));
  const auto code = absl::StatusCode::kNotFound;
  EXPECT_THAT(store->Put("k", "x"), FailsWith(code, reason::kStorageNotFound, "no-such-bucket"));
  EXPECT_THAT(store->Get("k"), FailsWith(code, reason::kStorageNotFound, "no-such-bucket"));
}

TEST_F(S3Test, RegionAndEndpointMayComeFromTheEnvironment) {
  ASSERT_OK(Open(uri_)->Put("k", "value"));
  ::setenv("AWS_ENDPOINT_URL", ("http://" + server().Address() + "/").c_str(), 1);
  ::setenv("AWS_REGION", "eu-west-1", 1);
  EXPECT_EQ(*Open(uri_.substr(0, uri_.find('?')))->Get("k"), "value");
}

TEST_F(S3Test, AServerWithoutConditionalWritesGetsTheCheck) {
  const auto store = Open(uri_);
  server().SetFaults(R"({"no_conditional": 1})");
  EXPECT_OK(store->PutIfAbsent("k", "one"));
  EXPECT_TRUE(absl::IsAlreadyExists(store->PutIfAbsent("k", "two")));
  EXPECT_EQ(*store->Get("k"), "one");
}

TEST_F(S3Test, AnEmptyObjectAndAReadBehindTheEnd) {
  const auto store = Open(uri_);
  ASSERT_OK(store->Put("empty", ""));
  EXPECT_EQ(*store->Get("empty"), "");
  EXPECT_EQ(store->Stat("empty")->size_bytes, 0);
  EXPECT_EQ(*store->GetRange("empty", 10, 5), "");
  EXPECT_THAT(store->GetRange("absent", 10, 5),
              FailsWith(absl::StatusCode::kNotFound, reason::kObjectNotFound, "absent"));
}

TEST_F(S3Test, NobodyAtTheAddressIsUnavailable) {
  RetryingStoreOptions options;
  options.max_attempts = 2;
  options.sleep = [](absl::Duration) {};
  ASSERT_OK_AND_ASSIGN(
      auto inner,
      OpenS3Store("s3://pools/x?region=us-east-1&scheme=http&endpoint_override=127.0.0.1:1"));
  RetryingStore store(std::move(inner), Clock::Real(), options);
  EXPECT_THAT(store.Get("k"), FailsWith(absl::StatusCode::kUnavailable, reason::kStorageFailed,
                                        "after 2 attempts"));
}

}  // namespace
}  // namespace seer
