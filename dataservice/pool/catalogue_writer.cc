#include "dataservice/pool/catalogue_writer.h"

#include <utility>

#include "absl/strings/str_format.h"
#include "common/base/digest.h"
#include "common/base/status_macros.h"

namespace seer::dataservice {

absl::Status CatalogueWriter::Add(CatalogueRow row) {
  if (!parquet_) parquet_.emplace();
  AppendLocation(row.location(), index_);
  SEER_RETURN_IF_ERROR(parquet_->Add(std::move(row)));
  return static_cast<int64_t>(index_.size()) == file_rows_ * kLocationBytes ? Flush()
                                                                            : absl::OkStatus();
}

absl::StatusOr<std::vector<CatalogueFile>> CatalogueWriter::Finish() {
  SEER_RETURN_IF_ERROR(Flush());
  return std::move(files_);
}

absl::Status CatalogueWriter::Flush() {
  if (!parquet_) return absl::OkStatus();
  SEER_ASSIGN_OR_RETURN(const std::string parquet, parquet_->Finish());
  parquet_.reset();
  const std::string index = std::exchange(index_, {});
  CatalogueFile file;
  file.catalogue =
      absl::StrFormat("images-%05d-%s.parquet", next_file_, Sha256Hex(parquet).substr(0, 16));
  file.index = absl::StrFormat("index-%05d-%s.bin", next_file_, Sha256Hex(index).substr(0, 16));
  file.rows = static_cast<int64_t>(index.size()) / kLocationBytes;
  file.generation = generation_;
  SEER_RETURN_IF_ERROR(objects_.Put(CatalogueKey(pool_, file), parquet));
  SEER_RETURN_IF_ERROR(objects_.Put(IndexKey(pool_, file), index));
  files_.push_back(std::move(file));
  ++next_file_;
  return absl::OkStatus();
}

}  // namespace seer::dataservice
