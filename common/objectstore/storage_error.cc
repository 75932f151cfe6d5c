#include "common/objectstore/storage_error.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/error.h"

namespace seer {
namespace {

constexpr char kMoreCredentials[] =
    "renew them (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN; "
    "GOOGLE_APPLICATION_CREDENTIALS; AZURE_CLIENT_ID and its secret), check the machine's clock, "
    "and start the program again if they are in its environment";
constexpr char kSetCredentials[] =
    "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or give the machine a role "
    "(S3); "
    "GOOGLE_APPLICATION_CREDENTIALS (gs); AZURE_CLIENT_ID, AZURE_TENANT_ID and AZURE_CLIENT_SECRET "
    "(abfs); docs/operations.md has the ways";
constexpr char kAskForRights[] =
    "let the credentials read, list, write and delete objects below the prefix "
    "(docs/operations.md has the policy)";
constexpr char kCheckName[] =
    "make the bucket or container, or correct its name, region or endpoint";

struct Rule {
  absl::string_view piece;
  absl::StatusCode code;
  absl::string_view reason;
  absl::string_view hint;
};

// In this order: the first piece that occurs decides. Both spellings of S3's codes.
constexpr Rule kRules[] = {
    {"ExpiredToken", absl::StatusCode::kUnauthenticated, reason::kStorageCredentialsRefused,
     kMoreCredentials},
    {"EXPIRED_TOKEN", absl::StatusCode::kUnauthenticated, reason::kStorageCredentialsRefused,
     kMoreCredentials},
    {"TokenRefreshRequired", absl::StatusCode::kUnauthenticated, reason::kStorageCredentialsRefused,
     kMoreCredentials},
    {"InvalidToken", absl::StatusCode::kUnauthenticated, reason::kStorageCredentialsRefused,
     kMoreCredentials},
    {"InvalidAccessKeyId", absl::StatusCode::kUnauthenticated, reason::kStorageCredentialsRefused,
     kMoreCredentials},
    {"INVALID_ACCESS_KEY_ID", absl::StatusCode::kUnauthenticated,
     reason::kStorageCredentialsRefused, kMoreCredentials},
    {"SignatureDoesNotMatch", absl::StatusCode::kUnauthenticated,
     reason::kStorageCredentialsRefused, kMoreCredentials},
    {"SIGNATURE_DOES_NOT_MATCH", absl::StatusCode::kUnauthenticated,
     reason::kStorageCredentialsRefused, kMoreCredentials},
    {"RequestTimeTooSkewed", absl::StatusCode::kUnauthenticated, reason::kStorageCredentialsRefused,
     kMoreCredentials},
    {"REQUEST_TIME_TOO_SKEWED", absl::StatusCode::kUnauthenticated,
     reason::kStorageCredentialsRefused, kMoreCredentials},
    {"AuthenticationFailed", absl::StatusCode::kUnauthenticated, reason::kStorageCredentialsRefused,
     kMoreCredentials},
    {"invalid_grant", absl::StatusCode::kUnauthenticated, reason::kStorageCredentialsRefused,
     kMoreCredentials},
    {"CredentialUnavailable", absl::StatusCode::kUnauthenticated, reason::kStorageNoCredentials,
     kSetCredentials},
    {"DefaultAzureCredential", absl::StatusCode::kUnauthenticated, reason::kStorageNoCredentials,
     kSetCredentials},
    {"metadata.google.internal", absl::StatusCode::kUnauthenticated, reason::kStorageNoCredentials,
     kSetCredentials},
    {"PermanentRedirect", absl::StatusCode::kInvalidArgument, reason::kInvalidArgument, kCheckName},
    {"PERMANENT_REDIRECT", absl::StatusCode::kInvalidArgument, reason::kInvalidArgument,
     kCheckName},
    {"AuthorizationHeaderMalformed", absl::StatusCode::kInvalidArgument, reason::kInvalidArgument,
     kCheckName},
    {"NoSuchBucket", absl::StatusCode::kNotFound, reason::kStorageNotFound, kCheckName},
    {"NO_SUCH_BUCKET", absl::StatusCode::kNotFound, reason::kStorageNotFound, kCheckName},
    {"ContainerNotFound", absl::StatusCode::kNotFound, reason::kStorageNotFound, kCheckName},
    {"AccessDenied", absl::StatusCode::kPermissionDenied, reason::kStorageAccessDenied,
     kAskForRights},
    {"ACCESS_DENIED", absl::StatusCode::kPermissionDenied, reason::kStorageAccessDenied,
     kAskForRights},
    {"PERMISSION_DENIED", absl::StatusCode::kPermissionDenied, reason::kStorageAccessDenied,
     kAskForRights},
    {"AuthorizationFailure", absl::StatusCode::kPermissionDenied, reason::kStorageAccessDenied,
     kAskForRights},
    {"AuthorizationPermissionMismatch", absl::StatusCode::kPermissionDenied,
     reason::kStorageAccessDenied, kAskForRights},
    {"HTTP 401", absl::StatusCode::kUnauthenticated, reason::kStorageCredentialsRefused,
     kMoreCredentials},
    {"HTTP 403", absl::StatusCode::kPermissionDenied, reason::kStorageAccessDenied, kAskForRights},
};

}  // namespace

absl::Status StorageError(absl::string_view doing, absl::string_view what, absl::string_view said) {
  const std::string message = absl::StrCat(doing, " ", what, ": ", said);
  for (const Rule& rule : kRules) {
    if (!absl::StrContains(said, rule.piece)) continue;
    return Error(rule.code, rule.reason, message).Hint(rule.hint).With("path", what);
  }
  return Error(absl::StatusCode::kUnavailable, reason::kStorageFailed, message).With("path", what);
}

absl::Status ObjectNotFound(absl::string_view doing, absl::string_view what) {
  return Error(absl::StatusCode::kNotFound, reason::kObjectNotFound,
               absl::StrCat(doing, " ", what, ": no such object"))
      .With("path", what);
}

absl::Status NoCredentials(absl::string_view uri, absl::string_view why) {
  return Error(absl::StatusCode::kUnauthenticated, reason::kStorageNoCredentials,
               absl::StrCat("no credentials for ", uri, ": ", why))
      .Hint(kSetCredentials)
      .With("uri", uri);
}

}  // namespace seer
