#include "dataservice/pool/succession.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"

namespace seer::dataservice {

void CountRow(const CatalogueRow& row, Manifest& manifest) {
  ++manifest.images;
  manifest.size_bytes += row.size;
  manifest.labelled_images += row.label >= 0 ? 1 : 0;
  manifest.longest_side = std::max({manifest.longest_side, row.width, row.height});
  ++manifest.formats[row.format];
}

absl::StatusOr<Manifest> Succession::Survey(absl::FunctionRef<void(const CatalogueRow&)> kept) {
  Manifest next = parent_;
  next.parent = parent_.generation;
  next.generation = parent_.generation + 1;
  next.ingest.clear();
  next.files.clear();
  next.formats.clear();
  next.images = next.size_bytes = next.labelled_images = dropped_ = 0;
  next.longest_side = 0;
  for (ShardInfo& shard : next.shards) shard.images = 0;
  changes_.assign(parent_.files.size(), false);
  for (size_t i = 0; i < parent_.files.size(); ++i) {
    const std::string key = CatalogueKey(pool_, parent_.files[i]);
    const auto take = [&](const CatalogueRow& row) -> absl::Status {
      if (drop_(row)) {
        changes_[i] = true;
        ++dropped_;
        return absl::OkStatus();
      }
      if (row.shard < 0 || row.shard >= static_cast<int32_t>(next.shards.size())) {
        return Error(absl::StatusCode::kDataLoss, reason::kPoolCorrupt,
                     absl::StrCat(key, " names shard ", row.shard, " of ", next.shards.size()))
            .Hint("restore the file from a copy of the pool, or ingest into a new pool");
      }
      ++next.shards[static_cast<size_t>(row.shard)].images;
      CountRow(row, next);
      kept(row);
      return absl::OkStatus();
    };
    SEER_RETURN_IF_ERROR(ForEachRow(store_.objects(), key, take));
  }
  return next;
}

absl::StatusOr<std::vector<CatalogueFile>> Succession::Write() {
  std::vector<CatalogueFile> files;
  for (size_t i = 0; i < parent_.files.size(); ++i) {
    if (!changes_[i]) {
      files.push_back(parent_.files[i]);
      continue;
    }
    SEER_ASSIGN_OR_RETURN(const auto file, store_.RewriteFile(pool_, parent_.files[i],
                                                              parent_.generation + 1, i, drop_));
    if (file) files.push_back(*file);
  }
  return files;
}

}  // namespace seer::dataservice
