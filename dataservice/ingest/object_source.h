// Images below a prefix of cloud storage.
#pragma once

#include <string>

#include "dataservice/ingest/sources.h"

namespace seer::dataservice {

// "s3://bucket/prefix?parameters", gs or abfs: as SourceList::Create says; the parameters are those
// of OpenStore. Images are read several at once; tar, Parquet and URL lists are copied, one at a
// time, to a file in the folder for temporary files. SourceImage::source is the URI without
// parameters. Errors of OpenStore, and of SourceList::Create about folders.
absl::StatusOr<std::unique_ptr<ListedSource>> ListObjects(const std::string& uri,
                                                          const SourceOptions& options);

}  // namespace seer::dataservice
