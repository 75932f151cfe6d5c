// The images of a Parquet file, a row an image, in the order of its rows. Not thread-safe.
// Columns by name; others are not read:
//   image, bytes        the encoded image: binary, or a struct with a binary field "bytes", as
//                       Hugging Face's data sets have it
//   url                 text: downloaded where the row has no bytes
//   label               integer, optional
//   country, visibility text, optional
//   captured_at         timestamp, date, or RFC 3339 text, optional
#pragma once

#include <string>

#include "dataservice/ingest/sources.h"

namespace seer::dataservice {

// Reads the file `path`; `name` is what messages and SourceImage::source ("name#row") say; a
// downloaded row's source is its URL.
// INVALID_ARGUMENT with SOURCE_COLUMNS: neither bytes nor url, or a column of another type; names
// the columns that are there. DATA_LOSS with POOL_CORRUPT: no whole Parquet file; also of Next().
// NOT_FOUND with SOURCE_NOT_FOUND.
absl::StatusOr<std::unique_ptr<ImageSource>> OpenParquetSource(const std::string& path,
                                                               const std::string& name,
                                                               const SourceOptions& options);

}  // namespace seer::dataservice
