#include "dataservice/ingest/file_source.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>
#include <map>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/types/span.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "dataservice/ingest/file_piece.h"
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

absl::Status CannotRead(const std::string& path) {
  return Error(absl::StatusCode::kNotFound, reason::kSourceNotFound,
               absl::StrCat("cannot read ", path))
      .Hint("the data service reads sources itself: the path must be readable on its machine")
      .With("path", path);
}

absl::StatusOr<SourceImage> ReadImageFile(const std::string& path, int64_t max_bytes) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return CannotRead(path);
  const absl::Cleanup close = [fd] { ::close(fd); };
  struct stat info;
  if (::fstat(fd, &info) != 0) return CannotRead(path);
  SourceImage image;
  image.source = path;
  image.bytes.resize(static_cast<size_t>(std::min<int64_t>(info.st_size, max_bytes + 1)));
  size_t done = 0;
  while (done < image.bytes.size()) {
    const ssize_t got = ::read(fd, image.bytes.data() + done, image.bytes.size() - done);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;  // it became shorter: what is left is judged as an image
    done += static_cast<size_t>(got);
  }
  image.bytes.resize(done);
  return image;
}

// What the file holds, without its label. `name`: as messages say it.
absl::StatusOr<std::vector<FilePiece>> PiecesOf(const std::string& path, const std::string& name) {
  if (IsUrlListName(name)) return ListUrls(path, name);
  struct stat info;
  if (::stat(path.c_str(), &info) != 0) return CannotRead(name);
  std::vector<FilePiece> pieces;
  if (HasExtension(name, {".parquet"})) {
    SEER_ASSIGN_OR_RETURN(pieces, ListRows(path, name));
  } else {
    FilePiece& whole = pieces.emplace_back();
    whole.path = path;
    const bool tar = HasExtension(name, {".tar"});
    whole.bytes = tar ? static_cast<int64_t>(info.st_size) : BytesInShard(info.st_size, false);
    whole.images = tar ? 0 : 1;
  }
  for (FilePiece& piece : pieces)
    piece.version = absl::ToUnixNanos(absl::TimeFromTimespec(info.st_mtim)) ^ info.st_size;
  return pieces;
}

// One piece after the other; `name`: instead of their paths, "": none.
class PieceSource final : public ImageSource {
 public:
  PieceSource(std::vector<FilePiece> pieces, std::string name, const SourceOptions& options)
      : pieces_(std::move(pieces)), name_(std::move(name)), options_(options) {}

  absl::StatusOr<std::optional<SourceImage>> Next() override {
    while (true) {
      if (table_) {
        SEER_ASSIGN_OR_RETURN(auto image, table_->Next());
        if (image) return image;
        table_.reset();
      }
      if (next_ == pieces_.size()) return std::optional<SourceImage>();
      const FilePiece& piece = pieces_[next_++];
      const std::string& name = name_.empty() ? piece.path : name_;
      if (HasExtension(name, {".tar"})) {
        SEER_ASSIGN_OR_RETURN(table_, OpenTarSource(piece.path, name, options_));
      } else if (HasExtension(name, {".parquet"})) {
        SEER_ASSIGN_OR_RETURN(table_, OpenRows(piece, name, options_));
      } else if (IsUrlListName(name)) {
        SEER_ASSIGN_OR_RETURN(table_, OpenUrls(piece, options_));
      } else {
        SEER_ASSIGN_OR_RETURN(SourceImage image, ReadImageFile(piece.path, options_.max_bytes));
        image.label = piece.label;
        return std::optional<SourceImage>(std::move(image));
      }
    }
  }

 private:
  const std::vector<FilePiece> pieces_;
  const std::string name_;
  const SourceOptions options_;
  size_t next_ = 0;
  std::unique_ptr<ImageSource> table_;
};

class ListedFiles final : public ListedSource {
 public:
  ListedFiles(std::vector<FilePiece> pieces, const SourceOptions& options)
      : pieces_(std::move(pieces)), options_(options) {}

  size_t entries() const override { return pieces_.size(); }
  SourceEntry Entry(size_t index) const override {
    return {pieces_[index].bytes, pieces_[index].images};
  }
  void AppendIdentity(size_t index, std::string& text) const override {
    const FilePiece& piece = pieces_[index];
    absl::StrAppend(&text, piece.path, "\n", piece.bytes, " ", piece.version, " ", piece.first,
                    " ");
    absl::StrAppend(&text, piece.count, " ", piece.label, "\n");
  }
  absl::StatusOr<std::unique_ptr<ImageSource>> Open(size_t begin, size_t end,
                                                    int downloads) const override {
    SourceOptions options = options_;
    options.downloads = downloads;
    return std::make_unique<PieceSource>(
        std::vector<FilePiece>(pieces_.begin() + static_cast<int64_t>(begin),
                               pieces_.begin() + static_cast<int64_t>(end)),
        "", options);
  }

 private:
  const std::vector<FilePiece> pieces_;
  const SourceOptions options_;
};

}  // namespace

bool IsImageName(absl::string_view name) { return HasExtension(name, kImageExtensions); }
bool IsTableName(absl::string_view name) { return HasExtension(name, {".tar", ".parquet"}); }
bool IsUrlListName(absl::string_view name) { return HasExtension(name, {".txt"}); }

absl::StatusOr<std::unique_ptr<ImageSource>> OpenTable(const std::string& path,
                                                       const std::string& name,
                                                       const SourceOptions& options) {
  SEER_ASSIGN_OR_RETURN(auto pieces, PiecesOf(path, name));
  return std::make_unique<PieceSource>(std::move(pieces), name, options);
}

absl::StatusOr<std::unique_ptr<ListedSource>> ListFile(const std::string& path,
                                                       const SourceOptions& options) {
  SEER_ASSIGN_OR_RETURN(auto pieces, PiecesOf(path, path));
  return std::make_unique<ListedFiles>(std::move(pieces), options);
}

absl::StatusOr<std::unique_ptr<ListedSource>> ListFolder(const std::string& folder,
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
  std::vector<int32_t> labels(files.size(), -1);
  if (options.labels_from_folders) {
    std::vector<std::string> folders;
    for (const auto& entry : fs::directory_iterator(folder, error))
      if (entry.is_directory()) folders.push_back(entry.path().filename().string());
    labels = LabelsFromFolders(files, folders);
    if (std::count(labels.begin(), labels.end(), -1) == static_cast<int64_t>(labels.size()))
      return NoClasses(folder);
  }
  std::vector<FilePiece> all;
  for (size_t i = 0; i < files.size(); ++i) {
    const std::string path = (fs::path(folder) / files[i]).string();
    SEER_ASSIGN_OR_RETURN(const auto pieces, PiecesOf(path, path));
    for (const FilePiece& piece : pieces) all.push_back(piece);
    if (labels[i] < 0 || !IsImageName(path)) continue;  // tables have labels of their own
    all.back().label = labels[i];
    all.back().bytes += BytesInShard(0, true) - BytesInShard(0, false);
  }
  return std::make_unique<ListedFiles>(std::move(all), options);
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
