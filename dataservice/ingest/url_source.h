// Images behind http and https URLs: several at once, handed out in the order of the list. A URL
// that cannot be had is an image with a failure, and does not end the source. Not thread-safe.
#pragma once

#include <string>
#include <vector>

#include "dataservice/ingest/file_piece.h"
#include "dataservice/ingest/sources.h"

namespace seer::dataservice {

// One download, tried again with jitter where that may help: up to 4 times, at most 5 redirects, 10
// s to connect, 2 minutes each. In `failure`: UNAVAILABLE with DOWNLOAD_FAILED, RESOURCE_EXHAUSTED
// with IMAGE_TOO_LARGE. Thread-safe; keeps a connection a thread.
SourceImage Download(const std::string& url, int64_t max_bytes);

// The URLs of the file `path`, in pieces of at most 1,024. NOT_FOUND with SOURCE_NOT_FOUND.
// FAILED_PRECONDITION with SOURCE_EMPTY: no URL in it. INVALID_ARGUMENT: a line is no URL of these
// schemes; its number is named. `name` is what messages say.
absl::StatusOr<std::vector<FilePiece>> ListUrls(const std::string& path, const std::string& name);

// `piece` of a list that has passed ListUrls.
absl::StatusOr<std::unique_ptr<ImageSource>> OpenUrls(const FilePiece& piece,
                                                      const SourceOptions& options);

// One URL.
std::unique_ptr<ListedSource> ListUrl(const std::string& url, const SourceOptions& options);

bool IsUrl(absl::string_view text);  // begins with http:// or https://

}  // namespace seer::dataservice
