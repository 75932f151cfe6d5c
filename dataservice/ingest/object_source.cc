#include "dataservice/ingest/object_source.h"

#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/objectstore/open_store.h"
#include "dataservice/ingest/file_source.h"
#include "dataservice/ingest/read_ahead.h"

namespace seer::dataservice {
namespace {

constexpr int64_t kCopyBytes = int64_t{8} << 20;

// A copy of an object, removed with this.
class Spool {
 public:
  static absl::StatusOr<std::unique_ptr<Spool>> Copy(ObjectStore& store, const ObjectInfo& object) {
    std::string path = (std::filesystem::temp_directory_path() / "seer-ingest-XXXXXX").string();
    const int fd = ::mkstemp(path.data());
    if (fd < 0) return Failed(path, errno);
    ::close(fd);
    std::unique_ptr<Spool> spool(new Spool(path));
    std::ofstream file(path, std::ios::binary);
    for (int64_t done = 0; done < object.size_bytes;) {
      SEER_ASSIGN_OR_RETURN(
          const std::string part,
          store.GetRange(object.key, done, std::min(kCopyBytes, object.size_bytes - done)));
      if (part.empty()) break;  // replaced by a shorter one: its reader says that it is torn
      if (!file.write(part.data(), static_cast<std::streamsize>(part.size())))
        return Failed(path, ENOSPC);
      done += static_cast<int64_t>(part.size());
    }
    file.close();
    if (!file) return Failed(path, ENOSPC);
    return spool;
  }
  ~Spool() { ::unlink(path_.c_str()); }
  const std::string& path() const { return path_; }

 private:
  explicit Spool(std::string path) : path_(std::move(path)) {}
  static absl::Status Failed(const std::string& path, int error) {
    return Error(error == ENOSPC ? absl::StatusCode::kResourceExhausted
                                 : absl::StatusCode::kUnavailable,
                 error == ENOSPC ? reason::kDiskFull : reason::kStorageFailed,
                 absl::StrCat("cannot write ", path, ": ", std::strerror(error)))
        .Hint("the largest tar or Parquet object must fit into the folder that TMPDIR names");
  }
  const std::string path_;
};

// What was listed; immutable.
struct Listing {
  std::unique_ptr<ObjectStore> store;
  std::string bucket;  // "s3://bucket"
  std::vector<ObjectInfo> objects;
  std::vector<int32_t> labels;  // of each object, or empty
  SourceOptions options;

  std::string NameOf(size_t index) const { return absl::StrCat(bucket, "/", objects[index].key); }
};

// Objects [begin, end).
class ObjectSource final : public ImageSource {
 public:
  ObjectSource(const Listing& listing, size_t begin, size_t end, int downloads)
      : listing_(listing),
        next_(begin),
        end_(end),
        downloads_(downloads),
        ahead_(downloads, [this] { return NextImage(); }) {}

  absl::StatusOr<std::optional<SourceImage>> Next() override {
    while (true) {
      if (table_) {
        SEER_ASSIGN_OR_RETURN(auto image, table_->Next());
        if (image) return image;
        table_.reset();
        spool_.reset();
      }
      SEER_ASSIGN_OR_RETURN(auto image, ahead_.Next());
      if (image) return image;
      if (next_ == end_) return std::optional<SourceImage>();
      const size_t index = next_++;
      SourceOptions options = listing_.options;
      options.downloads = downloads_;
      SEER_ASSIGN_OR_RETURN(spool_, Spool::Copy(*listing_.store, listing_.objects[index]));
      SEER_ASSIGN_OR_RETURN(table_, OpenTable(spool_->path(), listing_.NameOf(index), options));
    }
  }

 private:
  // Empty before the next object that holds images of its own.
  absl::StatusOr<ReadAhead::Fetch> NextImage() {
    if (next_ == end_ || !IsImageName(listing_.objects[next_].key)) return ReadAhead::Fetch();
    const size_t index = next_++;
    return ReadAhead::Fetch([this, index]() -> absl::StatusOr<SourceImage> {
      const ObjectInfo& object = listing_.objects[index];
      SourceImage image;
      image.source = listing_.NameOf(index);
      if (!listing_.labels.empty()) image.label = listing_.labels[index];
      SEER_ASSIGN_OR_RETURN(
          image.bytes,
          listing_.store->GetRange(object.key, 0,
                                   std::min(object.size_bytes, listing_.options.max_bytes + 1)));
      return image;
    });
  }

  const Listing& listing_;
  size_t next_;
  const size_t end_;
  const int downloads_;
  std::unique_ptr<Spool> spool_;  // of table_
  std::unique_ptr<ImageSource> table_;
  ReadAhead ahead_;  // last: its threads use the listing
};

class ListedObjects final : public ListedSource {
 public:
  explicit ListedObjects(Listing listing) : listing_(std::move(listing)) {}

  size_t entries() const override { return listing_.objects.size(); }
  SourceEntry Entry(size_t index) const override {
    const ObjectInfo& object = listing_.objects[index];
    if (!IsImageName(object.key)) return {object.size_bytes, 0};
    return {BytesInShard(object.size_bytes, LabelOf(index) >= 0), 1};
  }
  void AppendIdentity(size_t index, std::string& text) const override {
    const ObjectInfo& object = listing_.objects[index];
    absl::StrAppend(&text, listing_.NameOf(index), "\n", object.size_bytes, " ",
                    absl::ToUnixMicros(object.modified), " ", LabelOf(index), "\n");
  }
  absl::StatusOr<std::unique_ptr<ImageSource>> Open(size_t begin, size_t end,
                                                    int downloads) const override {
    return std::make_unique<ObjectSource>(listing_, begin, end, downloads);
  }

 private:
  int32_t LabelOf(size_t index) const {
    return listing_.labels.empty() ? -1 : listing_.labels[index];
  }
  const Listing listing_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<ListedSource>> ListObjects(const std::string& uri,
                                                          const SourceOptions& options) {
  const size_t query = std::min(uri.find('?'), uri.size());
  const std::string shown = uri.substr(0, query);
  const size_t authority = shown.find("://") + 3;
  const size_t slash = std::min(shown.find('/', authority), shown.size());
  const std::string bucket = shown.substr(0, slash);
  const std::string path(absl::StripSuffix(absl::StripPrefix(shown.substr(slash), "/"), "/"));
  SEER_ASSIGN_OR_RETURN(auto store,
                        OpenStore(absl::StrCat(bucket, uri.substr(query)), StoreUse::kRead));
  std::vector<ObjectInfo> objects;
  if (IsImageName(path) || IsTableName(path) || IsUrlListName(path)) {
    const auto object = store->Stat(path);
    if (HasReason(object.status(), reason::kObjectNotFound)) {
      return Error(absl::StatusCode::kNotFound, reason::kSourceNotFound,
                   absl::StrCat("no object ", shown))
          .Field("sources")
          .With("path", shown);
    }
    SEER_RETURN_IF_ERROR(object.status());
    objects.push_back(*object);
  } else {
    SEER_ASSIGN_OR_RETURN(objects, store->List(path.empty() ? "" : path + "/"));
    std::erase_if(objects, [](const ObjectInfo& object) {
      return !IsImageName(object.key) && !IsTableName(object.key);
    });
    if (objects.empty()) return NoImages(shown);
  }
  std::vector<int32_t> labels;
  if (options.labels_from_folders) {
    std::vector<std::string> keys;
    for (const ObjectInfo& object : objects)
      keys.push_back(std::string(absl::StripPrefix(object.key, path + "/")));
    labels = LabelsFromFolders(keys);
    if (std::count(labels.begin(), labels.end(), -1) == static_cast<int64_t>(labels.size()))
      return NoClasses(shown);
  }
  return std::make_unique<ListedObjects>(
      Listing{std::move(store), bucket, std::move(objects), std::move(labels), options});
}

}  // namespace seer::dataservice
