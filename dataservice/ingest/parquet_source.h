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
#include <vector>

#include "dataservice/ingest/file_piece.h"
#include "dataservice/ingest/sources.h"

namespace seer::dataservice {

// The rows of the file `path`: row groups, or of a table without bytes 1,024 rows a piece. `name`
// is what messages say. INVALID_ARGUMENT with SOURCE_COLUMNS: neither bytes nor url, or a column of
// another type; names the columns that are there. DATA_LOSS with POOL_CORRUPT: no whole Parquet
// file. NOT_FOUND with SOURCE_NOT_FOUND.
absl::StatusOr<std::vector<FilePiece>> ListRows(const std::string& path, const std::string& name);

// `piece` of the file `piece.path`; SourceImage::source is "name#row", or a downloaded row's URL.
// Errors of ListRows; also of Next().
absl::StatusOr<std::unique_ptr<ImageSource>> OpenRows(const FilePiece& piece,
                                                      const std::string& name,
                                                      const SourceOptions& options);

}  // namespace seer::dataservice
