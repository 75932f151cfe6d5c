#include "dataservice/ingest/sources.h"

#include <algorithm>
#include <deque>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "dataservice/pool/tar_shard.h"

namespace seer::dataservice {
namespace {

namespace fs = std::filesystem;

bool IsImageName(const std::string& name) {
  const std::string lower = absl::AsciiStrToLower(name);
  for (const char* extension : {".jpg", ".jpeg", ".png", ".webp"})
    if (absl::EndsWith(lower, extension)) return true;
  return false;
}
// What a tar shard may say about an image, beside it.
bool IsSideName(const std::string& name) {
  return absl::EndsWith(name, ".cls") || absl::EndsWith(name, ".json");
}
bool IsTarName(const std::string& name) {
  return absl::EndsWith(absl::AsciiStrToLower(name), ".tar");
}

struct FileEntry {
  fs::path path;
  int32_t label = -1;
};

absl::StatusOr<SourceImage> ReadFile(const FileEntry& entry, int64_t max_bytes) {
  std::ifstream file(entry.path, std::ios::binary);
  if (!file) {
    return Error(absl::StatusCode::kNotFound, reason::kSourceNotFound,
                 absl::StrCat("cannot read ", entry.path.string()))
        .Hint("the data service reads sources itself: the path must be readable on its machine");
  }
  std::error_code error;
  const auto size =
      std::min<int64_t>(static_cast<int64_t>(fs::file_size(entry.path, error)), max_bytes + 1);
  SourceImage image;
  image.source = entry.path.string();
  image.label = entry.label;
  image.bytes.resize(error ? 0 : static_cast<size_t>(size));
  file.read(image.bytes.data(), static_cast<std::streamsize>(image.bytes.size()));
  image.bytes.resize(static_cast<size_t>(std::max<std::streamsize>(0, file.gcount())));
  return image;
}

// Groups members "<key>.<extension>" that follow each other, as webdataset does.
class TarImages {
 public:
  static absl::StatusOr<std::unique_ptr<TarImages>> Open(const std::string& path,
                                                         int64_t max_bytes) {
    SEER_ASSIGN_OR_RETURN(auto reader, TarReader::Open(path));
    return std::unique_ptr<TarImages>(new TarImages(path, std::move(reader), max_bytes));
  }

  absl::StatusOr<std::optional<SourceImage>> Next() {
    std::optional<SourceImage> image;
    std::string key;
    while (true) {
      if (!pending_) {
        TarReader::Member member;
        SEER_ASSIGN_OR_RETURN(const bool more, reader_->Next(member, max_bytes_));
        if (!more) return image;
        pending_ = std::move(member);
      }
      const std::string member_key = KeyOf(pending_->name);
      if (image && member_key != key) return image;
      if (member_key != side_key_) {
        side_key_ = member_key;
        side_.clear();
      }
      const TarReader::Member member = std::move(*pending_);
      pending_.reset();
      if (IsImageName(member.name) && !image) {
        image.emplace();
        image->source = absl::StrCat(path_, "#", member.name);
        image->bytes = member.bytes;
        key = member_key;
        for (const auto& [name, bytes] : side_) Annotate(name, bytes, *image);
      } else if (image) {
        Annotate(member.name, member.bytes, *image);
      } else if (IsSideName(member.name)) {
        side_.emplace_back(member.name, member.bytes);  // came before its image
      }
    }
  }

 private:
  TarImages(std::string path, std::unique_ptr<TarReader> reader, int64_t max_bytes)
      : path_(std::move(path)), reader_(std::move(reader)), max_bytes_(max_bytes) {}

  // Up to the first dot of the last part of the name.
  static std::string KeyOf(const std::string& name) {
    const size_t slash = name.rfind('/');
    return name.substr(0, name.find('.', slash == std::string::npos ? 0 : slash + 1));
  }

  static void Annotate(const std::string& name, const std::string& bytes, SourceImage& image) {
    if (absl::EndsWith(name, ".cls")) {
      int32_t label;
      if (absl::SimpleAtoi(absl::StripAsciiWhitespace(bytes), &label)) image.label = label;
    } else if (absl::EndsWith(name, ".json")) {
      const auto json = nlohmann::json::parse(bytes, nullptr, /*allow_exceptions=*/false);
      if (!json.is_object()) return;
      if (json.contains("label") && json["label"].is_number_integer()) image.label = json["label"];
      if (json.contains("country") && json["country"].is_string()) image.country = json["country"];
      if (json.contains("visibility") && json["visibility"].is_string())
        image.visibility = json["visibility"];
      absl::Time time;
      if (json.contains("captured_at") && json["captured_at"].is_string() &&
          absl::ParseTime(absl::RFC3339_full, json["captured_at"].get<std::string>(), &time,
                          nullptr)) {
        image.captured_at = time;
      }
    }
  }

  const std::string path_;
  const std::unique_ptr<TarReader> reader_;
  const int64_t max_bytes_;
  std::optional<TarReader::Member> pending_;
  std::string side_key_;
  std::vector<std::pair<std::string, std::string>> side_;
};

class FileSource final : public ImageSource {
 public:
  FileSource(std::deque<FileEntry> files, int64_t total, int64_t max_bytes)
      : files_(std::move(files)), total_(total), max_bytes_(max_bytes) {}

  absl::StatusOr<std::optional<SourceImage>> Next() override {
    while (true) {
      if (tar_) {
        SEER_ASSIGN_OR_RETURN(auto image, tar_->Next());
        if (image) return image;
        tar_.reset();
      }
      if (files_.empty()) return std::optional<SourceImage>();
      const FileEntry entry = std::move(files_.front());
      files_.pop_front();
      if (IsTarName(entry.path.string())) {
        SEER_ASSIGN_OR_RETURN(tar_, TarImages::Open(entry.path.string(), max_bytes_));
        continue;
      }
      SEER_ASSIGN_OR_RETURN(SourceImage image, ReadFile(entry, max_bytes_));
      return std::optional<SourceImage>(std::move(image));
    }
  }
  int64_t total() const override { return total_; }

 private:
  std::deque<FileEntry> files_;
  const int64_t total_;
  const int64_t max_bytes_;
  std::unique_ptr<TarImages> tar_;
};

absl::StatusOr<std::vector<FileEntry>> ListFolder(const fs::path& folder, bool labels) {
  std::map<std::string, int32_t> classes;
  std::error_code error;
  if (labels) {
    for (const auto& entry : fs::directory_iterator(folder, error))
      if (entry.is_directory()) classes[entry.path().filename().string()] = 0;
    int32_t next = 0;
    for (auto& [name, label] : classes) label = next++;
    if (classes.empty()) {
      return Error(absl::StatusCode::kInvalidArgument, reason::kNoLabels,
                   absl::StrCat(folder.string(), " has no sub-folders to be classes"))
          .Hint(
              "put each class's images into a folder of its name, or leave --labels-from-folders "
              "out");
    }
  }
  std::vector<FileEntry> files;
  for (const auto& entry : fs::recursive_directory_iterator(
           folder, fs::directory_options::skip_permission_denied, error)) {
    const std::string name = entry.path().filename().string();
    if (!entry.is_regular_file() || !(IsImageName(name) || IsTarName(name))) continue;
    FileEntry file{entry.path()};
    const fs::path relative = entry.path().lexically_relative(folder);
    if (labels && std::distance(relative.begin(), relative.end()) > 1)
      file.label = classes[relative.begin()->string()];
    files.push_back(std::move(file));
  }
  if (error)
    return Error(absl::StatusCode::kUnavailable, reason::kStorageFailed,
                 absl::StrCat("cannot list ", folder.string(), ": ", error.message()));
  std::sort(files.begin(), files.end(),
            [](const FileEntry& a, const FileEntry& b) { return a.path < b.path; });
  return files;
}

}  // namespace

absl::StatusOr<std::unique_ptr<ImageSource>> OpenSources(const std::vector<std::string>& paths,
                                                         const SourceOptions& options) {
  if (paths.empty())
    return Error(absl::StatusCode::kInvalidArgument, reason::kMissingField, "no source was named")
        .Field("sources")
        .Hint("name a folder, image files or tar shards");
  std::deque<FileEntry> files;
  bool has_tar = false;
  for (const std::string& path : paths) {
    std::error_code error;
    if (!fs::exists(path, error)) {
      return Error(absl::StatusCode::kNotFound, reason::kSourceNotFound,
                   absl::StrCat("no file or folder ", path))
          .Field("sources")
          .Hint("the data service reads sources itself: give a path that exists on its machine")
          .With("path", path);
    }
    std::vector<FileEntry> found = {{path}};
    if (fs::is_directory(path, error)) {
      SEER_ASSIGN_OR_RETURN(found, ListFolder(path, options.labels_from_folders));
      if (found.empty()) {
        return Error(absl::StatusCode::kFailedPrecondition, reason::kSourceEmpty,
                     absl::StrCat(path, " holds no .jpg, .jpeg, .png, .webp or .tar file"))
            .Field("sources")
            .Hint("name a folder that holds images, at any depth")
            .With("path", path);
      }
    }
    for (FileEntry& file : found) {
      has_tar = has_tar || IsTarName(file.path.string());
      files.push_back(std::move(file));
    }
  }
  const auto total = has_tar ? 0 : static_cast<int64_t>(files.size());
  return std::unique_ptr<ImageSource>(
      std::make_unique<FileSource>(std::move(files), total, options.max_bytes));
}

}  // namespace seer::dataservice
