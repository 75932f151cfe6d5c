// The one way from a URI to a store, for pools, checkpoints and sources alike.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/base/object_store.h"
#include "common/objectstore/local_store.h"
#include "common/objectstore/retrying_store.h"

namespace seer {

// True for s3://, gs://, gcs://, abfs:// and abfss://.
bool IsCloudUri(absl::string_view uri);

// "file:///path" (or a plain path): a folder, as OpenLocalStore. "s3://", "gs://", "abfs://": cloud
// storage behind a RetryingStore; whether it is there shows at the first call. docs/operations.md
// has the URIs and where credentials come from. `observer` is told about cloud storage; null:
// nobody is; otherwise it must outlive the store. INVALID_ARGUMENT: a URI or scheme that this build
// does not know. UNAUTHENTICATED with STORAGE_NO_CREDENTIALS. Errors of OpenLocalStore.
absl::StatusOr<std::unique_ptr<ObjectStore>> OpenStore(const std::string& uri,
                                                       StoreUse use = StoreUse::kReadAndWrite,
                                                       StoreObserver* observer = nullptr);

}  // namespace seer
