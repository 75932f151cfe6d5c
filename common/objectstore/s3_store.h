// Objects in S3 and what speaks its protocol. Thread-safe.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/base/object_store.h"

namespace seer {

// "s3://bucket/prefix?region=...&endpoint_override=HOST:PORT&scheme=http", as
// arrow::fs::S3Options::FromUri reads it, and "anonymous=true" for public buckets. Region and
// endpoint may be left to AWS_REGION and AWS_ENDPOINT_URL. Credentials come from where the AWS
// tools look: environment, profile, role of the machine.
//
// Arrow lists, deletes, and uploads in parts; reads and small writes are single signed requests of
// our own, because Arrow's do not notice an answer with fewer bytes than were asked for and cannot
// write on a condition. PutIfAbsent is a PUT with "If-None-Match: *": of two writers one wins. A
// server that answers 501 to that gets the check of ArrowStore.
//
// INVALID_ARGUMENT: the URI, or credentials in it. UNAUTHENTICATED with STORAGE_NO_CREDENTIALS:
// none are found. No object is asked for.
absl::StatusOr<std::unique_ptr<ObjectStore>> OpenS3Store(const std::string& uri);

}  // namespace seer
