// A committed generation of any size on the local disk that takes hardly any room: its index files
// have their full sizes but only those rows that are asked for, and all rows are a few small JPEGs
// in one shard. It has no Parquet catalogue: serving does not read it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "dataservice/pool/location_index.h"

namespace seer::testing {

class SparseGeneration {
 public:
  // Makes pool `pool` with generation 1 below the folder `root`. `shards`: in the manifest; all
  // but the first are names alone.
  static absl::StatusOr<SparseGeneration> Make(const std::string& root, const std::string& pool,
                                               int64_t images, int shards);

  // Writes the records of these rows, and of the others of their blocks.
  absl::Status WriteBlocksOf(const std::vector<int64_t>& rows) const;
  // What the row's record is; its label is the row's number modulo 2^31.
  dataservice::ImageLocation LocationOf(int64_t row) const;

 private:
  SparseGeneration() = default;
  std::string folder_;  // of the generation
  int64_t images_ = 0;
  dataservice::Manifest manifest_;
  std::vector<dataservice::ImageLocation> pictures_;
};

}  // namespace seer::testing
