// Pools in S3: ingested and streamed under faults of each kind, they give the bits of a local pool.
#include <gtest/gtest.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "tests/integration/dataservice/pool_client.h"
#include "tests/support/image_files.h"
#include "tests/support/s3_server.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace seer::dataservice {
namespace {

using testing::FailsWith;
using testing::S3Server;

constexpr int kImages = 30;
constexpr int64_t kSteps = 6;

class S3PoolTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    testing::UseCredentials();
    s3_ = new S3Server();
  }
  static void TearDownTestSuite() {
    delete s3_;
    s3_ = nullptr;
  }
  void SetUp() override {
    testing::UseCredentials();
    s3_->SetFaults("{}");
    for (int i = 0; i < kImages; ++i)
      testing::WriteFile(dir_ / absl::StrCat("images/", 100 + i, ".jpg"),
                         testing::MakeJpeg(40 + i % 5, 32, static_cast<uint32_t>(i)));
  }

  // What a pool of the images on the local disk serves.
  std::vector<v1::BatchMessage> LocalBatches() {
    const auto local = StartServer(dir_ / "pools");
    EXPECT_OK(local);
    return Fill(**local) ? Batches(**local) : std::vector<v1::BatchMessage>();
  }
  bool Fill(const DataServer& server) {
    EXPECT_OK(CreatePool(server, "p"));
    const auto ingested = IngestPool(server, "p", {dir_ / "images"});
    EXPECT_OK(ingested);
    return ingested.ok() && ingested->pool().images() == kImages;
  }
  static std::vector<v1::BatchMessage> Batches(const DataServer& server) {
    auto batches = StreamBatches(server, BatchesOf("p", kSteps, 10));
    EXPECT_OK(batches);
    return batches.ok() ? std::move(*batches) : std::vector<v1::BatchMessage>();
  }
  static void ExpectSame(const std::vector<v1::BatchMessage>& a,
                         const std::vector<v1::BatchMessage>& b, const std::string& what) {
    ASSERT_EQ(a.size(), static_cast<size_t>(kSteps)) << what;
    ASSERT_EQ(b.size(), a.size()) << what;
    for (size_t i = 0; i < a.size(); ++i)
      EXPECT_TRUE(a[i].SerializeAsString() == b[i].SerializeAsString()) << what << ", step " << i;
  }

  static inline S3Server* s3_ = nullptr;
  testing::TempDir dir_;
};

TEST_F(S3PoolTest, BatchesAreThoseOfTheLocalPoolUnderEachFault) {
  const auto local = LocalBatches();
  const struct {
    const char* name;
    const char* faults;
  } cases[] = {
      {"requests", "{}"},
      {"error_500", R"({"error_500": 0.2})"},
      {"slow_down", R"({"slow_down": 0.2})"},
      {"reset", R"({"reset": 0.2})"},
      {"truncate", R"({"truncate": 0.2})"},
      {"short", R"({"short": 0.2})"},
      {"lost_reply", R"({"lost_reply": 0.2})"},
      {"stall", R"({"stall": 0.04, "stall_seconds": 1})"},
  };
  for (const auto& one : cases) {
    s3_->SetFaults(one.faults);
    const auto server = StartServer(s3_->Uri(absl::StrCat("pools-", one.name)));
    ASSERT_OK(server) << one.name;
    ASSERT_TRUE(Fill(**server)) << one.name;
    ExpectSame(Batches(**server), local, one.name);
    EXPECT_GT(s3_->Count(one.name), 0) << one.name;
    const std::string metrics = MetricsOf(**server);
    EXPECT_TRUE(absl::StrContains(metrics, "seer_data_store_requests_total{code=\"OK\""));
    const bool retried = absl::StrContains(metrics, "seer_data_store_retries_total{");
    if (one.name == std::string("slow_down")) EXPECT_TRUE(retried);
    if (one.name == std::string("requests")) EXPECT_FALSE(retried) << metrics;
  }
}

TEST_F(S3PoolTest, AReplicaThatComesLaterServesTheSamePool) {
  const auto first = StartServer(s3_->Uri("shared"));
  ASSERT_OK(first);
  ASSERT_TRUE(Fill(**first));
  const auto second = StartServer(s3_->Uri("shared"), 1);
  ASSERT_OK(second);
  ExpectSame(Batches(**first), Batches(**second), "replicas");
}

TEST_F(S3PoolTest, OfTwoServicesOneCreatesThePool) {
  const auto first = StartServer(s3_->Uri("race")), second = StartServer(s3_->Uri("race"));
  ASSERT_OK(first);
  ASSERT_OK(second);
  ASSERT_OK(CreatePool(**first, "p"));
  EXPECT_TRUE(HasReason(CreatePool(**second, "p"), reason::kPoolExists));
}

TEST_F(S3PoolTest, CredentialsThatAreMissingOrExpiredAreTold) {
  testing::UseNoCredentials();
  EXPECT_THAT(StartServer(s3_->Uri("c")), FailsWith(absl::StatusCode::kUnauthenticated,
                                                    reason::kStorageNoCredentials, "s3://pools/c"));
  testing::UseCredentials();
  const auto server = StartServer(s3_->Uri("c"));
  ASSERT_OK(server);
  ASSERT_TRUE(Fill(**server));
  s3_->SetFaults(R"({"expired": 1})");
  const auto told = FailsWith(absl::StatusCode::kUnauthenticated,
                              reason::kStorageCredentialsRefused, "ExpiredToken");
  EXPECT_THAT(CreatePool(**server, "q"), told);
  EXPECT_THAT(IngestPool(**server, "p", {dir_ / "images"}), told);
  const auto other = StartServer(s3_->Uri("c"));
  ASSERT_OK(other);
  EXPECT_THAT(StreamBatches(**other, BatchesOf("p", 1, 4)), told);
}

}  // namespace
}  // namespace seer::dataservice
