// Images in folders and single files on a disk that the data service sees.
#pragma once

#include <string>

#include "absl/strings/string_view.h"
#include "dataservice/ingest/sources.h"

namespace seer::dataservice {

// By the name's extension, in any case.
bool IsImageName(absl::string_view name);    // of a format that the decoder reads
bool IsTableName(absl::string_view name);    // .tar, .parquet: holds images of its own
bool IsUrlListName(absl::string_view name);  // .txt

// A folder, and a single file. Errors of SourceList::Create about them.
absl::StatusOr<std::unique_ptr<ListedSource>> ListFolder(const std::string& folder,
                                                         const SourceOptions& options);
absl::StatusOr<std::unique_ptr<ListedSource>> ListFile(const std::string& path,
                                                       const SourceOptions& options);

// All images of a .tar, .parquet or .txt file; `name` is what messages and SourceImage::source say
// instead of `path`.
absl::StatusOr<std::unique_ptr<ImageSource>> OpenTable(const std::string& path,
                                                       const std::string& name,
                                                       const SourceOptions& options);

// Classes are the first parts of the keys that have more than one, and `empty`, folders without
// images, numbered in the order of their names. Gives the class of each key, -1: none.
std::vector<int32_t> LabelsFromFolders(const std::vector<std::string>& keys,
                                       const std::vector<std::string>& empty = {});

// The error of a folder or prefix `where` without sub-folders, and without images.
absl::Status NoClasses(const std::string& where);
absl::Status NoImages(const std::string& where);

}  // namespace seer::dataservice
