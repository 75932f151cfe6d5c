// What files on a disk are listed as: a file, or a part of one that is cut. A value.
#pragma once

#include <cstdint>
#include <string>

namespace seer::dataservice {

struct FilePiece {
  std::string path;
  int64_t bytes = 0;    // that its images will take in a shard, about
  int64_t images = 0;   // 0: not known
  int64_t version = 0;  // another number once the file has changed
  // Of a Parquet file: rows from `first`, counted from 0. Of a list: URLs from the byte `first`.
  int64_t first = 0;
  int64_t count = -1;  // rows or URLs; -1: all that follow
  int32_t label = -1;
};

}  // namespace seer::dataservice
