#include "dataservice/pool/location_index.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <type_traits>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/base/digest.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"

namespace seer::dataservice {
namespace {

static_assert(sizeof(ImageLocation) == kLocationBytes);
static_assert(std::is_trivially_copyable_v<ImageLocation>);
static_assert(std::has_unique_object_representations_v<ImageLocation>, "no padding");
static_assert(std::endian::native == std::endian::little);

}  // namespace

absl::Status CorruptIndex(const std::string& key, const std::string& why) {
  return Error(absl::StatusCode::kDataLoss, reason::kPoolCorrupt, absl::StrCat(key, " ", why))
      .Hint("restore the file from a copy of the pool, or ingest into a new pool")
      .With("object", key);
}

absl::Status CheckInsideShard(const ImageLocation& image, const std::vector<ShardInfo>& shards,
                              const std::string& key, int64_t row) {
  const bool inside =
      image.shard >= 0 && image.shard < static_cast<int64_t>(shards.size()) && image.offset >= 0 &&
      image.size >= 0 &&
      image.offset <= shards[static_cast<size_t>(image.shard)].size_bytes - image.size;
  return inside ? absl::OkStatus()
                : CorruptIndex(key, absl::StrCat("points outside its shards at row ", row));
}

std::string IdHex(const ImageId& id) {
  return ToHex(absl::string_view(reinterpret_cast<const char*>(id.data()), id.size()));
}

void AppendLocation(const ImageLocation& location, std::string& bytes) {
  bytes.append(reinterpret_cast<const char*>(&location), sizeof(location));
}

Generation::Generation(ObjectStore& objects, LocationCache& cache, const std::string& pool,
                       Manifest manifest)
    : objects_(objects), cache_(cache), manifest_(std::move(manifest)) {
  first_rows_.push_back(0);
  for (const CatalogueFile& file : manifest_.files) {
    keys_.push_back(IndexKey(pool, file));
    first_rows_.push_back(first_rows_.back() + file.rows);
  }
}

absl::StatusOr<std::shared_ptr<const Generation>> Generation::Open(ObjectStore& objects,
                                                                   LocationCache& cache,
                                                                   const std::string& pool,
                                                                   Manifest manifest) {
  std::shared_ptr<Generation> generation(new Generation(objects, cache, pool, std::move(manifest)));
  // One listing, not a call a file: a large generation has a thousand of them, in many folders.
  SEER_ASSIGN_OR_RETURN(const auto present, objects.List(absl::StrCat(pool, "/generations/")));
  for (size_t i = 0; i < generation->keys_.size(); ++i) {
    const std::string& key = generation->keys_[i];
    const auto found =
        std::lower_bound(present.begin(), present.end(), key,
                         [](const ObjectInfo& a, const std::string& b) { return a.key < b; });
    if (found == present.end() || found->key != key) return CorruptIndex(key, "is absent");
    const int64_t rows = generation->manifest_.files[i].rows;
    if (found->size_bytes != rows * kLocationBytes) {
      return CorruptIndex(key, absl::StrCat("has ", found->size_bytes, " bytes, not the ",
                                            rows * kLocationBytes, " of its ", rows, " rows"));
    }
  }
  return generation;
}

absl::StatusOr<std::vector<ImageLocation>> Generation::Locations(int64_t first_row,
                                                                 int64_t count) const {
  SEER_CHECK(first_row >= 0 && count >= 0 && first_row <= images() - count)
      << first_row << " + " << count << " of " << images();
  std::vector<ImageLocation> rows;
  rows.reserve(static_cast<size_t>(count));
  auto file =
      static_cast<size_t>(std::upper_bound(first_rows_.begin(), first_rows_.end(), first_row) -
                          first_rows_.begin() - 1);
  for (int64_t row = first_row; row < first_row + count; ++file) {
    const int64_t file_end = std::min(first_rows_[file + 1], first_row + count);
    while (row < file_end) {
      const int64_t in_file = row - first_rows_[file];
      SEER_ASSIGN_OR_RETURN(const LocationBlock block, Block(file, in_file / kIndexBlockRows));
      const int64_t in_block = in_file % kIndexBlockRows;
      const int64_t take = std::min(static_cast<int64_t>(block->size()) - in_block, file_end - row);
      rows.insert(rows.end(), block->begin() + in_block, block->begin() + in_block + take);
      row += take;
    }
  }
  return rows;
}

absl::StatusOr<LocationBlock> Generation::Block(size_t file, int64_t number) const {
  const int64_t first = number * kIndexBlockRows;
  const int64_t count = std::min(kIndexBlockRows, manifest_.files[file].rows - first);
  const int64_t size_bytes = count * kLocationBytes;
  const auto read = [&]() -> absl::StatusOr<LocationBlock> {
    SEER_ASSIGN_OR_RETURN(const std::string bytes,
                          objects_.GetRange(keys_[file], first * kLocationBytes, size_bytes));
    if (static_cast<int64_t>(bytes.size()) != size_bytes)
      return CorruptIndex(keys_[file], absl::StrCat("ends inside of row ", first, " and after"));
    auto block = std::make_shared<std::vector<ImageLocation>>(static_cast<size_t>(count));
    std::memcpy(block->data(), bytes.data(), bytes.size());
    for (int64_t i = 0; i < count; ++i)
      SEER_RETURN_IF_ERROR(Check((*block)[static_cast<size_t>(i)], keys_[file], first + i));
    return block;
  };
  return cache_.Get({keys_[file], number}, size_bytes, read);
}

absl::Status Generation::Check(const ImageLocation& image, const std::string& key,
                               int64_t row) const {
  // A size from here is what serving asks storage for, and allocates.
  SEER_RETURN_IF_ERROR(CheckInsideShard(image, manifest_.shards, key, row));
  if (image.width < 1 || image.height < 1)
    return CorruptIndex(key, absl::StrCat("has an image without pixels at row ", row));
  return absl::OkStatus();
}

}  // namespace seer::dataservice
