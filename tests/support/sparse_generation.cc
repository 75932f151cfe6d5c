#include "tests/support/sparse_generation.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/base/clock.h"
#include "common/base/digest.h"
#include "common/base/status_macros.h"
#include "common/objectstore/local_store.h"
#include "dataservice/pool/catalogue_writer.h"
#include "dataservice/pool/pool_store.h"
#include "dataservice/pool/tar_shard.h"
#include "tests/support/image_files.h"

namespace seer::testing {

namespace fs = std::filesystem;
using dataservice::CatalogueFile;
using dataservice::ImageLocation;
using dataservice::kIndexBlockRows;
using dataservice::kLocationBytes;

constexpr int kPictures = 61;
constexpr int64_t kFileRows = dataservice::CatalogueWriter::kFileRows;

absl::StatusOr<SparseGeneration> SparseGeneration::Make(const std::string& root,
                                                        const std::string& pool, int64_t images,
                                                        int shards) {
  SEER_ASSIGN_OR_RETURN(const auto objects, OpenLocalStore(root));
  dataservice::PoolStore store(*objects, Clock::Real());
  SEER_RETURN_IF_ERROR(store.Create(pool, {}));
  SparseGeneration made;
  dataservice::TarShardBuilder shard;
  for (int i = 0; i < kPictures; ++i) {
    const std::string jpeg = MakeJpeg(96 + i, 80, static_cast<uint32_t>(i));
    ImageLocation picture;
    picture.id = Sha256(jpeg);
    picture.size = static_cast<int64_t>(jpeg.size());
    picture.width = 96 + i;
    picture.height = 80;
    SEER_ASSIGN_OR_RETURN(picture.offset, shard.Add(absl::StrCat(i, ".jpg"), jpeg));
    made.pictures_.push_back(picture);
  }
  SEER_ASSIGN_OR_RETURN(const std::string tar, shard.Finish());
  SEER_ASSIGN_OR_RETURN(const std::string name, store.WriteShard(pool, tar));
  dataservice::Manifest& manifest = made.manifest_;
  manifest.generation = 1;
  manifest.images = made.images_ = images;
  manifest.shards.push_back({name, static_cast<int64_t>(tar.size()), images});
  for (int i = 1; i < shards; ++i)
    manifest.shards.push_back({absl::StrCat(Sha256Hex(absl::StrCat(i)), ".tar"), 1 << 30, 0});
  made.folder_ = absl::StrCat(root, "/", pool, "/generations/1");
  fs::create_directories(made.folder_);
  for (int64_t first = 0; first < images; first += kFileRows) {
    const size_t number = manifest.files.size();
    manifest.files.push_back({absl::StrFormat("images-%05d.parquet", number),
                              absl::StrFormat("index-%05d.bin", number),
                              std::min(kFileRows, images - first), manifest.generation});
    const CatalogueFile& file = manifest.files.back();
    const std::string path = absl::StrCat(made.folder_, "/", file.index);
    std::ofstream(path).flush();
    fs::resize_file(path, static_cast<uintmax_t>(file.rows * kLocationBytes));
  }
  SEER_RETURN_IF_ERROR(store.Commit(pool, manifest));
  return made;
}

absl::Status SparseGeneration::WriteBlocksOf(const std::vector<int64_t>& rows) const {
  std::set<int64_t> blocks;
  for (const int64_t row : rows) blocks.insert(row / kIndexBlockRows);
  std::fstream file;
  int64_t open = -1;
  for (const int64_t block : blocks) {
    const int64_t first = block * kIndexBlockRows;
    if (first / kFileRows != open) {
      open = first / kFileRows;
      file =
          std::fstream(absl::StrCat(folder_, "/", manifest_.files[static_cast<size_t>(open)].index),
                       std::ios::in | std::ios::out | std::ios::binary);
    }
    std::string records;
    for (int64_t row = first; row < std::min(first + kIndexBlockRows, images_); ++row)
      dataservice::AppendLocation(LocationOf(row), records);
    file.seekp(first % kFileRows * kLocationBytes);
    file.write(records.data(), static_cast<std::streamsize>(records.size()));
    if (!file.flush()) return absl::InternalError(absl::StrCat("cannot write below ", folder_));
  }
  return absl::OkStatus();
}

ImageLocation SparseGeneration::LocationOf(int64_t row) const {
  ImageLocation location = pictures_[static_cast<size_t>(row % kPictures)];
  location.label = static_cast<int32_t>(row % (int64_t{1} << 31));
  return location;
}

}  // namespace seer::testing
