// What cloud storage said, as the errors of ObjectStore: not there, not allowed and why, or worth
// another try. Pure.
#pragma once

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace seer {

// `said` is an answer's text: an HTTP status ("HTTP 503"), the service's own code ("SlowDown", or
// as the AWS SDK spells it, "SLOW_DOWN") and message, in any order. What it does not know is
// UNAVAILABLE with STORAGE_FAILED, and so tried again.
// NOT_FOUND with OBJECT_NOT_FOUND or STORAGE_NOT_FOUND (the bucket). UNAUTHENTICATED with
// STORAGE_NO_CREDENTIALS or STORAGE_CREDENTIALS_REFUSED. PERMISSION_DENIED with
// STORAGE_ACCESS_DENIED. INVALID_ARGUMENT: the bucket is in another region.
absl::Status StorageError(absl::string_view doing, absl::string_view what, absl::string_view said);

// The error of an object that is not there.
absl::Status ObjectNotFound(absl::string_view doing, absl::string_view what);

// The error of a store that was opened without any credentials.
absl::Status NoCredentials(absl::string_view uri, absl::string_view why);

}  // namespace seer
