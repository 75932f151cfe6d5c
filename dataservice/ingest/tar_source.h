// The images of a WebDataset tar shard, in the order of its members. Not thread-safe.
#pragma once

#include "dataservice/ingest/sources.h"

namespace seer::dataservice {

// Reads the file `path`; `name` is what messages and SourceImage::source say.
// NOT_FOUND with SOURCE_NOT_FOUND. DATA_LOSS with POOL_CORRUPT: not a whole tar.
absl::StatusOr<std::unique_ptr<ImageSource>> OpenTarSource(const std::string& path,
                                                           const std::string& name,
                                                           const SourceOptions& options);

}  // namespace seer::dataservice
