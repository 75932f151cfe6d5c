#include "dataservice/pool/pool_store.h"

#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "common/base/digest.h"
#include "common/base/error.h"
#include "common/base/failpoint.h"
#include "common/base/status_macros.h"

namespace seer::dataservice {

std::string ShardKey(const std::string& pool, const std::string& shard) {
  return absl::StrCat(pool, "/shards/", shard);
}

std::string PoolStore::ManifestKey(const std::string& pool, int64_t generation) {
  return absl::StrCat(pool, "/generations/", generation, "/manifest.json");
}

absl::Status PoolStore::Create(const std::string& pool, const PoolPolicy& policy,
                               const std::string& request_id) {
  const absl::Status made = store_.PutIfAbsent(absl::StrCat(pool, "/pool.json"),
                                               ToJson(PoolInfo{clock_.Now(), policy, request_id}));
  if (made.code() != absl::StatusCode::kAlreadyExists) return made;
  SEER_ASSIGN_OR_RETURN(const PoolInfo there, Info(pool));
  if (!request_id.empty() && there.request_id == request_id) return absl::OkStatus();
  return Error(absl::StatusCode::kAlreadyExists, reason::kPoolExists,
               absl::StrCat("pool ", pool, " exists already"))
      .Field("pool_id")
      .Hint("ingest into it, or choose another name")
      .With("pool", pool);
}

absl::StatusOr<PoolInfo> PoolStore::Info(const std::string& pool) {
  const std::string key = absl::StrCat(pool, "/pool.json");
  const auto json = store_.Get(key);
  if (json.ok()) return PoolInfoFromJson(*json, key);
  if (json.status().code() != absl::StatusCode::kNotFound) return json.status();
  SEER_ASSIGN_OR_RETURN(const auto names, Names());
  return Error(absl::StatusCode::kNotFound, reason::kPoolNotFound,
               absl::StrCat("no pool '", pool, "'"))
      .Hint(names.empty()
                ? absl::StrCat("there are no pools yet; `seer pool create ", pool, "` makes it")
                : absl::StrCat("pools: ", absl::StrJoin(names, ", "), "; `seer pool create ", pool,
                               "` makes it"))
      .With("pool", pool);
}

absl::StatusOr<std::vector<std::string>> PoolStore::Names() {
  SEER_ASSIGN_OR_RETURN(const auto objects, store_.List(""));
  std::vector<std::string> names;
  for (const ObjectInfo& object : objects) {
    absl::string_view key = object.key;
    if (absl::ConsumeSuffix(&key, "/pool.json") && key.find('/') == absl::string_view::npos)
      names.emplace_back(key);
  }
  return names;
}

absl::StatusOr<int64_t> PoolStore::Current(const std::string& pool) {
  int64_t generation = 0;
  const auto text = store_.Get(absl::StrCat(pool, "/CURRENT"));
  if (text.ok()) {
    if (!absl::SimpleAtoi(absl::StripAsciiWhitespace(*text), &generation) || generation < 1) {
      return Error(absl::StatusCode::kDataLoss, reason::kPoolCorrupt,
                   absl::StrCat(pool, "/CURRENT holds '", *text, "', not a generation's number"));
    }
  } else if (text.status().code() != absl::StatusCode::kNotFound) {
    return text.status();
  }
  // A writer that died between manifest and CURRENT has committed all the same.
  while (store_.Stat(ManifestKey(pool, generation + 1)).ok()) ++generation;
  return generation;
}

absl::StatusOr<Manifest> PoolStore::ReadManifest(const std::string& pool, int64_t generation) {
  const std::string key = ManifestKey(pool, generation);
  const auto json = store_.Get(key);
  if (json.ok()) return ManifestFromJson(*json, key);
  if (json.status().code() != absl::StatusCode::kNotFound) return json.status();
  SEER_ASSIGN_OR_RETURN(const int64_t current, Current(pool));
  return Error(absl::StatusCode::kNotFound, reason::kGenerationNotFound,
               absl::StrCat("pool ", pool, " has no generation ", generation))
      .Hint(current > 0
                ? absl::StrCat("the newest is ", current)
                : absl::StrCat("the pool is empty; `seer pool ingest ", pool, " DIR` fills it"))
      .With("pool", pool)
      .With("generation", absl::StrCat(generation));
}

absl::StatusOr<std::vector<CatalogueRow>> PoolStore::ReadRows(const std::string& pool,
                                                              const Manifest& manifest) {
  std::vector<CatalogueRow> rows;
  for (const std::string& file : manifest.catalogue_files) {
    const std::string key = absl::StrCat(pool, "/generations/", manifest.generation, "/", file);
    SEER_ASSIGN_OR_RETURN(std::string parquet, store_.Get(key));
    SEER_ASSIGN_OR_RETURN(auto part, ReadCatalogue(std::move(parquet), key));
    rows.insert(rows.end(), std::make_move_iterator(part.begin()),
                std::make_move_iterator(part.end()));
  }
  return rows;
}

absl::StatusOr<std::shared_ptr<const Generation>> PoolStore::ReadGeneration(const std::string& pool,
                                                                            int64_t number) {
  auto generation = std::make_shared<Generation>();
  SEER_ASSIGN_OR_RETURN(generation->manifest, ReadManifest(pool, number));
  for (const std::string& file : generation->manifest.catalogue_files) {
    const std::string key = absl::StrCat(pool, "/generations/", number, "/", file);
    SEER_ASSIGN_OR_RETURN(std::string parquet, store_.Get(key));
    SEER_RETURN_IF_ERROR(ReadLocations(std::move(parquet), key, generation->images));
  }
  // A size from here is what serving asks storage for, and allocates.
  const std::vector<ShardInfo>& shards = generation->manifest.shards;
  for (const ImageLocation& image : generation->images) {
    if (image.shard >= 0 && image.shard < static_cast<int64_t>(shards.size()) &&
        image.offset >= 0 && image.size >= 0 &&
        image.offset <= shards[static_cast<size_t>(image.shard)].size_bytes - image.size) {
      continue;
    }
    return Error(absl::StatusCode::kDataLoss, reason::kPoolCorrupt,
                 absl::StrCat("the catalogue of pool ", pool, " generation ", number,
                              " points outside its shards"));
  }
  return generation;
}

absl::StatusOr<std::string> PoolStore::WriteShard(const std::string& pool,
                                                  const std::string& bytes) {
  const std::string name = absl::StrCat(Sha256Hex(bytes), ".tar");
  const auto present = store_.Stat(ShardKey(pool, name));
  if (!present.ok() || present->size_bytes != static_cast<int64_t>(bytes.size()))
    SEER_RETURN_IF_ERROR(store_.Put(ShardKey(pool, name), bytes));
  return name;
}

absl::Status PoolStore::Commit(const std::string& pool, Manifest& manifest,
                               const std::vector<CatalogueRow>& rows) {
  SEER_ASSIGN_OR_RETURN(const std::string parquet, WriteCatalogue(rows));
  const std::string file = absl::StrCat("images-", Sha256Hex(parquet).substr(0, 16), ".parquet");
  manifest.catalogue_files = {file};
  manifest.created = clock_.Now();
  SEER_RETURN_IF_ERROR(
      store_.Put(absl::StrCat(pool, "/generations/", manifest.generation, "/", file), parquet));
  SEER_FAILPOINT("pool.before_manifest");
  const absl::Status committed =
      store_.PutIfAbsent(ManifestKey(pool, manifest.generation), ToJson(manifest));
  if (committed.code() == absl::StatusCode::kAlreadyExists) {
    return Error(absl::StatusCode::kAborted, reason::kPoolWriteConflict,
                 absl::StrCat("another writer committed generation ", manifest.generation,
                              " of pool ", pool, " first"))
        .Hint("run the ingest again: it goes on from the new generation")
        .With("pool", pool);
  }
  SEER_RETURN_IF_ERROR(committed);
  SEER_FAILPOINT("pool.before_current");
  return store_.Put(absl::StrCat(pool, "/CURRENT"), absl::StrCat(manifest.generation, "\n"));
}

}  // namespace seer::dataservice
