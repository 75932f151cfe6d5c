#include "dataservice/ingest/sources.h"

#include <deque>
#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/objectstore/open_store.h"
#include "dataservice/ingest/file_source.h"
#include "dataservice/ingest/object_source.h"
#include "dataservice/ingest/url_source.h"

namespace seer::dataservice {
namespace {

absl::StatusOr<std::unique_ptr<ImageSource>> OpenSource(const std::string& path,
                                                        const SourceOptions& options) {
  if (IsCloudUri(path)) return OpenObjects(path, options);
  if (IsUrl(path)) return OpenUrl(path, options);
  std::error_code error;
  if (!std::filesystem::exists(path, error)) {
    return Error(absl::StatusCode::kNotFound, reason::kSourceNotFound,
                 absl::StrCat("no file or folder ", path))
        .Field("sources")
        .Hint("the data service reads sources itself: give a path that exists on its machine")
        .With("path", path);
  }
  if (std::filesystem::is_directory(path, error)) return OpenFolder(path, options);
  return OpenFile(path, path, options);
}

// A file stays closed until it is its turn: there may be thousands of them.
class Sequence final : public ImageSource {
 public:
  explicit Sequence(const SourceOptions& options) : options_(options) {}

  absl::Status Add(const std::string& path) {
    SEER_ASSIGN_OR_RETURN(auto source, OpenSource(path, options_));
    known_ = known_ && source->total() > 0;
    total_ += source->total();
    const bool file = !IsCloudUri(path) && !IsUrl(path) && !std::filesystem::is_directory(path);
    if (file) source.reset();
    parts_.push_back({path, std::move(source)});
    return absl::OkStatus();
  }

  absl::StatusOr<std::optional<SourceImage>> Next() override {
    for (; !parts_.empty(); parts_.pop_front()) {
      Part& part = parts_.front();
      if (part.source == nullptr) {
        SEER_ASSIGN_OR_RETURN(part.source, OpenSource(part.path, options_));
      }
      SEER_ASSIGN_OR_RETURN(auto image, part.source->Next());
      if (image) return image;
    }
    return std::optional<SourceImage>();
  }
  int64_t total() const override { return known_ ? total_ : 0; }

 private:
  struct Part {
    std::string path;
    std::unique_ptr<ImageSource> source;  // null: not open
  };
  const SourceOptions options_;
  std::deque<Part> parts_;
  bool known_ = true;
  int64_t total_ = 0;
};

}  // namespace

absl::StatusOr<std::unique_ptr<ImageSource>> OpenSources(const std::vector<std::string>& paths,
                                                         const SourceOptions& options) {
  if (paths.empty()) {
    return Error(absl::StatusCode::kInvalidArgument, reason::kMissingField, "no source was named")
        .Field("sources")
        .Hint("name a folder, image files, tar shards, Parquet files, a .txt of URLs, or s3://");
  }
  auto sequence = std::make_unique<Sequence>(options);
  for (const std::string& path : paths) SEER_RETURN_IF_ERROR(sequence->Add(path));
  return sequence;
}

}  // namespace seer::dataservice
