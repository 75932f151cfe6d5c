#include "dataservice/pool/row_finder.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"

namespace seer::dataservice {
namespace {

constexpr int64_t kRowsAtOnce = (int64_t{16} << 20) / kLocationBytes;

}  // namespace

absl::StatusOr<ImageId> ParseImageId(const std::string& hex) {
  ImageId id;
  const bool digits = std::all_of(hex.begin(), hex.end(), [](char c) {
    return absl::ascii_isxdigit(static_cast<unsigned char>(c));
  });
  if (hex.size() != 2 * id.size() || !digits) {
    return Error(absl::StatusCode::kInvalidArgument, reason::kInvalidArgument,
                 absl::StrCat("'", hex.substr(0, 80), "' is not an image's id"))
        .Field("image_ids")
        .Hint("64 hexadecimal digits: the SHA-256 of the image file, as `seer pool order` prints");
  }
  const std::string bytes = absl::HexStringToBytes(hex);
  std::memcpy(id.data(), bytes.data(), id.size());
  return id;
}

absl::StatusOr<std::vector<RowFinder::Row>> RowFinder::Find(const Manifest& manifest) {
  std::vector<Row> rows;
  int64_t first_row = 0;
  for (const CatalogueFile& file : manifest.files) {
    const std::string key = IndexKey(pool_, file);
    if (!found_.contains(file.index)) {
      SEER_ASSIGN_OR_RETURN(found_[file.index], FindInFile(key, file.rows));
    }
    for (const Row& row : found_[file.index]) {
      SEER_RETURN_IF_ERROR(CheckInsideShard(row.image, manifest.shards, key, row.row));
      rows.push_back({first_row + row.row, row.image});
    }
    first_row += file.rows;
  }
  return rows;
}

absl::StatusOr<std::vector<RowFinder::Row>> RowFinder::FindInFile(const std::string& key,
                                                                  int64_t rows) {
  std::vector<Row> found;
  for (int64_t first = 0; first < rows; first += kRowsAtOnce) {
    const int64_t size = std::min(kRowsAtOnce, rows - first) * kLocationBytes;
    SEER_ASSIGN_OR_RETURN(const std::string bytes,
                          objects_.GetRange(key, first * kLocationBytes, size));
    if (static_cast<int64_t>(bytes.size()) != size)
      return CorruptIndex(key, absl::StrCat("ends inside of row ", first, " and after"));
    for (int64_t at = 0; at < size; at += kLocationBytes) {
      ImageLocation image;
      std::memcpy(&image, bytes.data() + at, sizeof(image));
      if (ids_.contains(image.id)) found.push_back({first + at / kLocationBytes, image});
    }
  }
  return found;
}

}  // namespace seer::dataservice
