#include "dataservice/ingest/file_source.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <map>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/types/span.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "dataservice/ingest/parquet_source.h"
#include "dataservice/ingest/tar_source.h"
#include "dataservice/ingest/url_source.h"

namespace seer::dataservice {
namespace {

namespace fs = std::filesystem;

constexpr std::array<absl::string_view, 8> kImageExtensions = {".jpg", ".jpeg", ".png", ".webp",
                                                               ".gif", ".bmp",  ".tif", ".tiff"};

bool HasExtension(absl::string_view name, absl::Span<const absl::string_view> extensions) {
  return std::any_of(extensions.begin(), extensions.end(), [&](absl::string_view extension) {
    return absl::EndsWithIgnoreCase(name, extension);
  });
}

absl::StatusOr<SourceImage> ReadImageFile(const std::string& path, const std::string& name,
                                          int64_t max_bytes) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    return Error(absl::StatusCode::kNotFound, reason::kSourceNotFound,
                 absl::StrCat("cannot read ", name))
        .Hint("the data service reads sources itself: the path must be readable on its machine");
  }
  std::error_code error;
  const auto size =
      std::min<int64_t>(static_cast<int64_t>(fs::file_size(path, error)), max_bytes + 1);
  SourceImage image;
  image.source = name;
  image.bytes.resize(error ? 0 : static_cast<size_t>(size));
  file.read(image.bytes.data(), static_cast<std::streamsize>(image.bytes.size()));
  image.bytes.resize(static_cast<size_t>(std::max<std::streamsize>(0, file.gcount())));
  return image;
}

class OneImage final : public ImageSource {
 public:
  OneImage(std::string path, std::string name, int64_t max_bytes)
      : path_(std::move(path)), name_(std::move(name)), max_bytes_(max_bytes) {}
  absl::StatusOr<std::optional<SourceImage>> Next() override {
    if (std::exchange(read_, true)) return std::optional<SourceImage>();
    SEER_ASSIGN_OR_RETURN(SourceImage image, ReadImageFile(path_, name_, max_bytes_));
    return std::optional<SourceImage>(std::move(image));
  }
  int64_t total() const override { return 1; }

 private:
  const std::string path_;
  const std::string name_;
  const int64_t max_bytes_;
  bool read_ = false;
};

class FolderSource final : public ImageSource {
 public:
  FolderSource(std::string folder, std::vector<std::string> files, std::vector<int32_t> labels,
               const SourceOptions& options)
      : folder_(std::move(folder)),
        files_(std::move(files)),
        labels_(std::move(labels)),
        options_(options),
        has_tables_(std::any_of(files_.begin(), files_.end(), IsTableName)) {}

  absl::StatusOr<std::optional<SourceImage>> Next() override {
    while (true) {
      if (table_) {
        SEER_ASSIGN_OR_RETURN(auto image, table_->Next());
        if (image) return image;
        table_.reset();
      }
      if (next_ == files_.size()) return std::optional<SourceImage>();
      const size_t index = next_++;
      const std::string path = (fs::path(folder_) / files_[index]).string();
      if (IsTableName(path)) {
        SEER_ASSIGN_OR_RETURN(table_, OpenFile(path, path, options_));
        continue;
      }
      SEER_ASSIGN_OR_RETURN(SourceImage image, ReadImageFile(path, path, options_.max_bytes));
      if (!labels_.empty()) image.label = labels_[index];
      return std::optional<SourceImage>(std::move(image));
    }
  }
  int64_t total() const override { return has_tables_ ? 0 : static_cast<int64_t>(files_.size()); }

 private:
  const std::string folder_;
  const std::vector<std::string> files_;  // relative to the folder, sorted
  const std::vector<int32_t> labels_;     // of each file, or empty
  const SourceOptions options_;
  const bool has_tables_;
  size_t next_ = 0;
  std::unique_ptr<ImageSource> table_;
};

}  // namespace

bool IsImageName(absl::string_view name) {
  return HasExtension(name, kImageExtensions);
}
bool IsTableName(absl::string_view name) { return HasExtension(name, {".tar", ".parquet"}); }
bool IsUrlListName(absl::string_view name) { return HasExtension(name, {".txt"}); }

absl::StatusOr<std::unique_ptr<ImageSource>> OpenFile(const std::string& path,
                                                      const std::string& name,
                                                      const SourceOptions& options) {
  if (HasExtension(name, {".tar"})) return OpenTarSource(path, name, options);
  if (HasExtension(name, {".parquet"})) return OpenParquetSource(path, name, options);
  if (IsUrlListName(name)) return OpenUrlList(path, name, options);
  return std::make_unique<OneImage>(path, name, options.max_bytes);
}

absl::StatusOr<std::unique_ptr<ImageSource>> OpenFolder(const std::string& folder,
                                                        const SourceOptions& options) {
  std::error_code error;
  std::vector<fs::path> found;
  for (fs::recursive_directory_iterator
           it(folder, fs::directory_options::skip_permission_denied, error),
       end;
       !error && it != end; it.increment(error)) {
    const std::string name = it->path().filename().string();
    std::error_code gone;  // an entry may vanish while the folder is read
    if (it->is_regular_file(gone) && (IsImageName(name) || IsTableName(name)))
      found.push_back(it->path().lexically_relative(folder));
  }
  if (error) {
    return Error(absl::StatusCode::kUnavailable, reason::kStorageFailed,
                 absl::StrCat("cannot list ", folder, ": ", error.message()));
  }
  if (found.empty()) return NoImages(folder);
  std::sort(found.begin(), found.end());
  std::vector<std::string> files;
  for (const fs::path& path : found) files.push_back(path.string());
  std::vector<int32_t> labels;
  if (options.labels_from_folders) {
    std::vector<std::string> folders;
    for (const auto& entry : fs::directory_iterator(folder, error))
      if (entry.is_directory()) folders.push_back(entry.path().filename().string());
    labels = LabelsFromFolders(files, folders);
    if (std::count(labels.begin(), labels.end(), -1) == static_cast<int64_t>(labels.size()))
      return NoClasses(folder);
  }
  return std::make_unique<FolderSource>(folder, std::move(files), std::move(labels), options);
}

std::vector<int32_t> LabelsFromFolders(const std::vector<std::string>& keys,
                                       const std::vector<std::string>& empty) {
  const auto class_of = [](const std::string& key) {
    const size_t slash = key.find('/');
    return slash == std::string::npos ? std::string() : key.substr(0, slash);
  };
  std::map<std::string, int32_t> classes;
  for (const std::string& name : empty) classes[name] = 0;
  for (const std::string& key : keys)
    if (!class_of(key).empty()) classes[class_of(key)] = 0;
  int32_t next = 0;
  for (auto& [name, label] : classes) label = next++;
  std::vector<int32_t> labels;
  for (const std::string& key : keys)
    labels.push_back(class_of(key).empty() ? -1 : classes.at(class_of(key)));
  return labels;
}

absl::Status NoClasses(const std::string& where) {
  return Error(absl::StatusCode::kInvalidArgument, reason::kNoLabels,
               absl::StrCat(where, " has no sub-folders to be classes"))
      .Hint(
          "put each class's images into a folder of its name, or leave --labels-from-folders out");
}

absl::Status NoImages(const std::string& where) {
  return Error(absl::StatusCode::kFailedPrecondition, reason::kSourceEmpty,
               absl::StrCat(where, " holds no ", absl::StrJoin(kImageExtensions, ", "),
                            ", .tar or .parquet file"))
      .Field("sources")
      .Hint("name a folder that holds images, at any depth")
      .With("path", where);
}

}  // namespace seer::dataservice
