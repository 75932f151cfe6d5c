// What storage services say, and what becomes of it.
#include "common/objectstore/storage_error.h"

#include <gtest/gtest.h>

#include "common/base/error.h"
#include "common/objectstore/open_store.h"
#include "tests/support/status_matchers.h"

namespace seer {
namespace {

using testing::FailsWith;

TEST(StorageError, NamesTheCauseByWhatTheServiceSaid) {
  using C = absl::StatusCode;
  const struct {
    const char* said;
    C code;
    absl::string_view reason;
  } cases[] = {
      {"HTTP 400 ExpiredToken The provided token has expired.", C::kUnauthenticated,
       reason::kStorageCredentialsRefused},
      {"HTTP 403 SignatureDoesNotMatch", C::kUnauthenticated, reason::kStorageCredentialsRefused},
      {"AWS Error INVALID_ACCESS_KEY_ID during PutObject operation", C::kUnauthenticated,
       reason::kStorageCredentialsRefused},
      {"AWS Error ACCESS_DENIED during HeadObject operation: No response body.",
       C::kPermissionDenied, reason::kStorageAccessDenied},
      {"HTTP 403 ", C::kPermissionDenied, reason::kStorageAccessDenied},
      {"AWS Error NO_SUCH_BUCKET during ListObjectsV2 operation", C::kNotFound,
       reason::kStorageNotFound},
      {"HTTP 301 PermanentRedirect", C::kInvalidArgument, reason::kInvalidArgument},
      {"DefaultAzureCredential: Failed to get token", C::kUnauthenticated,
       reason::kStorageNoCredentials},
      {"HTTP 503 SlowDown", C::kUnavailable, reason::kStorageFailed},
      {"AWS Error NETWORK_CONNECTION: curlCode: 56", C::kUnavailable, reason::kStorageFailed},
      {"anything else", C::kUnavailable, reason::kStorageFailed},
  };
  for (const auto& one : cases) {
    const absl::Status status = StorageError("cannot read", "s3://b/k", one.said);
    EXPECT_THAT(status, FailsWith(one.code, one.reason, std::string("s3://b/k: ") + one.said));
    if (one.code != C::kUnavailable) EXPECT_FALSE(GetErrorDetail(status)->hint.empty()) << one.said;
  }
}

TEST(OpenStore, SaysWhatIsWrongWithAUri) {
  const auto code = absl::StatusCode::kInvalidArgument;
  EXPECT_THAT(OpenStore("ftp://host/x"), FailsWith(code, reason::kInvalidArgument, "scheme"));
  EXPECT_THAT(OpenStore("s3://"), FailsWith(code, reason::kInvalidArgument, "s3:"));
  EXPECT_THAT(OpenStore("s3://bucket?no_such_parameter=1&region=r&anonymous=true"),
              FailsWith(code, reason::kInvalidArgument, "no_such_parameter"));
  const auto secret = OpenStore("s3://key:hunter2@bucket/x?region=r");
  EXPECT_THAT(secret, FailsWith(code, reason::kInvalidArgument, "credentials"));
  EXPECT_EQ(secret.status().message().find("hunter2"), absl::string_view::npos);
  EXPECT_THAT(OpenStore("gs://"), FailsWith(code, reason::kInvalidArgument, "gs:"));
  EXPECT_THAT(OpenStore("abfs://x?no_such_parameter=1"),
              FailsWith(code, reason::kInvalidArgument, "abfs:"));
  EXPECT_TRUE(IsCloudUri("abfss://c@a.dfs.core.windows.net/p"));
  EXPECT_FALSE(IsCloudUri("/data/s3://x"));
}

}  // namespace
}  // namespace seer
