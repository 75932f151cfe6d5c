#include "dataservice/ingest/sources.h"

#include <algorithm>
#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/digest.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/objectstore/open_store.h"
#include "dataservice/ingest/file_source.h"
#include "dataservice/ingest/object_source.h"
#include "dataservice/ingest/url_source.h"

namespace seer::dataservice {
namespace {

constexpr size_t kUnitIdDigits = 32;

absl::StatusOr<std::unique_ptr<ListedSource>> ListSource(const std::string& path,
                                                         const SourceOptions& options) {
  if (IsCloudUri(path)) return ListObjects(path, options);
  if (IsUrl(path)) return ListUrl(path, options);
  std::error_code error;
  if (!std::filesystem::exists(path, error)) {
    return Error(absl::StatusCode::kNotFound, reason::kSourceNotFound,
                 absl::StrCat("no file or folder ", path))
        .Field("sources")
        .Hint("the data service reads sources itself: give a path that exists on its machine")
        .With("path", path);
  }
  if (std::filesystem::is_directory(path, error)) return ListFolder(path, options);
  return ListFile(path, options);
}

// Some entries of one source.
struct Run {
  const ListedSource* source;
  size_t begin, end;
};

// A run stays closed until it is its turn: there may be thousands of them.
class Sequence final : public ImageSource {
 public:
  Sequence(std::vector<Run> runs, int downloads) : runs_(std::move(runs)), downloads_(downloads) {}

  absl::StatusOr<std::optional<SourceImage>> Next() override {
    for (; next_ < runs_.size(); ++next_, open_.reset()) {
      const Run& run = runs_[next_];
      if (open_ == nullptr) {
        SEER_ASSIGN_OR_RETURN(open_, run.source->Open(run.begin, run.end, downloads_));
      }
      SEER_ASSIGN_OR_RETURN(auto image, open_->Next());
      if (image) return image;
    }
    return std::optional<SourceImage>();
  }

 private:
  const std::vector<Run> runs_;
  const int downloads_;
  size_t next_ = 0;
  std::unique_ptr<ImageSource> open_;  // of runs_[next_]; null: not open
};

}  // namespace

absl::StatusOr<SourceList> SourceList::Create(const std::vector<std::string>& paths,
                                              const SourceOptions& options) {
  if (paths.empty()) {
    return Error(absl::StatusCode::kInvalidArgument, reason::kMissingField, "no source was named")
        .Field("sources")
        .Hint("name a folder, image files, tar shards, Parquet files, a .txt of URLs, or s3://");
  }
  SourceList list;
  size_t entries = 0;
  for (const std::string& path : paths) {
    SEER_ASSIGN_OR_RETURN(auto source, ListSource(path, options));
    const size_t first = std::exchange(entries, entries + source->entries());
    list.parts_.push_back({std::move(source), first});
  }
  return list;
}

std::vector<SourceUnit> SourceList::Cut(int64_t unit_bytes) const {
  std::vector<SourceUnit> units;
  SourceUnit unit;
  int64_t bytes = 0;
  bool known = true;
  std::string identity;
  const auto close = [&] {
    if (unit.begin == unit.end) return;
    if (!known) unit.images = 0;
    unit.id = Sha256Hex(identity).substr(0, kUnitIdDigits);
    units.push_back(unit);
    unit = {unit.end, unit.end, 0, ""};
    bytes = 0;
    known = true;
    identity.clear();
  };
  for (const Part& part : parts_) {
    for (size_t i = 0; i < part.source->entries(); ++i) {
      const SourceEntry entry = part.source->Entry(i);
      if (bytes + entry.bytes > unit_bytes) close();
      bytes += entry.bytes;
      known = known && entry.images > 0;
      unit.images += entry.images;
      part.source->AppendIdentity(i, identity);
      ++unit.end;
    }
  }
  close();
  return units;
}

absl::StatusOr<std::unique_ptr<ImageSource>> SourceList::Open(const SourceUnit& unit,
                                                              int downloads) const {
  std::vector<Run> runs;
  for (const Part& part : parts_) {
    const size_t begin = std::max(unit.begin, part.first);
    const size_t end = std::min(unit.end, part.first + part.source->entries());
    if (begin < end) runs.push_back({part.source.get(), begin - part.first, end - part.first});
  }
  return std::make_unique<Sequence>(std::move(runs), downloads);
}

int64_t BytesInShard(int64_t size_bytes, bool labelled) {
  constexpr int64_t kBlock = 512;
  return kBlock + (size_bytes + kBlock - 1) / kBlock * kBlock + (labelled ? 2 * kBlock : 0);
}

}  // namespace seer::dataservice
