// Images in folders and single files on a disk that the data service sees. Not thread-safe.
#pragma once

#include <string>

#include "absl/strings/string_view.h"
#include "dataservice/ingest/sources.h"

namespace seer::dataservice {

// By the name's extension, in any case.
bool IsImageName(absl::string_view name);    // of a format that the decoder reads
bool IsTableName(absl::string_view name);    // .tar, .parquet: holds images of its own
bool IsUrlListName(absl::string_view name);  // .txt

// The images of a .tar, .parquet or .txt file; any other file is one image. `name` is what messages
// and SourceImage::source say instead of `path`.
absl::StatusOr<std::unique_ptr<ImageSource>> OpenFile(const std::string& path,
                                                      const std::string& name,
                                                      const SourceOptions& options);

// Errors of OpenSources about folders.
absl::StatusOr<std::unique_ptr<ImageSource>> OpenFolder(const std::string& folder,
                                                        const SourceOptions& options);

// Classes are the first parts of the keys that have more than one, and `empty`, folders without
// images, numbered in the order of their names. Gives the class of each key, -1: none.
std::vector<int32_t> LabelsFromFolders(const std::vector<std::string>& keys,
                                       const std::vector<std::string>& empty = {});

// The error of a folder or prefix `where` without sub-folders, and without images.
absl::Status NoClasses(const std::string& where);
absl::Status NoImages(const std::string& where);

}  // namespace seer::dataservice
