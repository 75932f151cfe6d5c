#include "common/objectstore/open_store.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/objectstore/arrow_store.h"
#include "common/objectstore/s3_store.h"

namespace seer {

bool IsCloudUri(absl::string_view uri) {
  for (const char* scheme : {"s3://", "gs://", "gcs://", "abfs://", "abfss://"})
    if (absl::StartsWith(uri, scheme)) return true;
  return false;
}

absl::StatusOr<std::unique_ptr<ObjectStore>> OpenStore(const std::string& uri, StoreUse use,
                                                       StoreObserver* observer) {
  if (!absl::StrContains(uri, "://")) return OpenLocalStore(uri, use);
  if (absl::StartsWith(uri, "file:///")) return OpenLocalStore(uri.substr(7), use);
  if (IsCloudUri(uri)) {
    SEER_ASSIGN_OR_RETURN(auto store,
                          absl::StartsWith(uri, "s3://") ? OpenS3Store(uri) : OpenArrowStore(uri));
    RetryingStoreOptions options;
    options.observer = observer;
    return std::make_unique<RetryingStore>(std::move(store), Clock::Real(), std::move(options));
  }
  return Error(absl::StatusCode::kInvalidArgument, reason::kInvalidArgument,
               absl::StrCat("storage '", uri, "' has a scheme that is not known"))
      .Hint("use a path, file:///absolute/path, s3://, gs:// or abfs://");
}

}  // namespace seer
