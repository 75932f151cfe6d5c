#include "dataservice/pool/pool_store.h"

#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "common/base/digest.h"
#include "common/base/error.h"
#include "common/base/failpoint.h"
#include "common/base/status_macros.h"
#include "dataservice/pool/catalogue_writer.h"

namespace seer::dataservice {
namespace {

constexpr absl::string_view kWriterPrefix = "writer-";

std::string InfoKey(const std::string& pool) { return absl::StrCat(pool, "/pool.json"); }

}  // namespace

std::string ShardKey(const std::string& pool, const std::string& shard) {
  return absl::StrCat(pool, "/shards/", shard);
}

std::string StagingFolder(const std::string& pool) { return absl::StrCat(pool, "/staging/"); }

std::string PoolStore::ManifestKey(const std::string& pool, int64_t generation) {
  return GenerationKey(pool, generation, "manifest.json");
}

absl::Status PoolStore::Create(const std::string& pool, const PoolPolicy& policy,
                               const std::string& request_id) {
  const absl::Status made =
      store_.PutIfAbsent(InfoKey(pool), ToJson(PoolInfo{clock_.Now(), policy, request_id}));
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
  const std::string key = InfoKey(pool);
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
  SEER_ASSIGN_OR_RETURN(auto names, store_.TopFolders());
  absl::Status failed;
  std::erase_if(names, [&](const std::string& name) {
    const absl::Status there = store_.Stat(InfoKey(name)).status();
    if (!absl::IsNotFound(there)) failed.Update(there);
    return !there.ok();
  });
  SEER_RETURN_IF_ERROR(failed);
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

absl::StatusOr<std::vector<int64_t>> PoolStore::Generations(const std::string& pool) {
  const std::string folder = absl::StrCat(pool, "/generations/");
  SEER_ASSIGN_OR_RETURN(const auto objects, store_.List(folder));
  std::vector<int64_t> numbers;
  for (const ObjectInfo& object : objects) {
    absl::string_view name = absl::StripPrefix(object.key, folder);
    int64_t number = 0;
    if (absl::ConsumeSuffix(&name, "/manifest.json") && absl::SimpleAtoi(name, &number))
      numbers.push_back(number);
  }
  std::sort(numbers.begin(), numbers.end());
  return numbers;
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

absl::StatusOr<std::shared_ptr<const Generation>> PoolStore::OpenGeneration(const std::string& pool,
                                                                            int64_t number,
                                                                            LocationCache& cache) {
  SEER_ASSIGN_OR_RETURN(Manifest manifest, ReadManifest(pool, number));
  return Generation::Open(store_, cache, pool, std::move(manifest));
}

absl::StatusOr<std::string> PoolStore::WriteShard(const std::string& pool,
                                                  const std::string& bytes) {
  const std::string name = absl::StrCat(Sha256Hex(bytes), ".tar");
  bool there = store_.Stat(ShardKey(pool, name)).ok();
  if (there) {  // seldom, and only a listing says when it was written
    SEER_ASSIGN_OR_RETURN(const auto present, store_.List(ShardKey(pool, name)));
    there = !present.empty() && present.front().size_bytes == static_cast<int64_t>(bytes.size()) &&
            present.front().modified > clock_.Now() - kShardGrace / 2;
  }
  if (!there) SEER_RETURN_IF_ERROR(store_.Put(ShardKey(pool, name), bytes));
  return name;
}

absl::StatusOr<std::optional<CatalogueFile>> PoolStore::RewriteFile(
    const std::string& pool, const CatalogueFile& file, int64_t to, size_t number,
    absl::FunctionRef<bool(const CatalogueRow&)> drop) {
  CatalogueWriter writer(store_, pool, to, number, file.rows);
  const std::string key = CatalogueKey(pool, file);
  int64_t rows = 0;
  const auto keep = [&](CatalogueRow row) {
    ++rows;
    return drop(row) ? absl::OkStatus() : writer.Add(std::move(row));
  };
  SEER_RETURN_IF_ERROR(ForEachRow(store_, key, keep));
  if (rows != file.rows) {
    return Error(absl::StatusCode::kDataLoss, reason::kPoolCorrupt,
                 absl::StrCat(key, " has ", rows, " rows, not the ", file.rows,
                              " of its generation's manifest"))
        .Hint("restore the file from a copy of the pool, or ingest into a new pool");
  }
  SEER_ASSIGN_OR_RETURN(const auto files, writer.Finish());
  if (files.empty()) return std::optional<CatalogueFile>();
  return std::optional<CatalogueFile>(files.front());
}

absl::Status PoolStore::Commit(const std::string& pool, Manifest& manifest) {
  manifest.created = clock_.Now();
  SEER_FAILPOINT("pool.before_manifest");
  const absl::Status committed =
      store_.PutIfAbsent(ManifestKey(pool, manifest.generation), ToJson(manifest));
  if (committed.code() == absl::StatusCode::kAlreadyExists) {
    SEER_ASSIGN_OR_RETURN(const Manifest theirs, ReadManifest(pool, manifest.generation));
    SEER_RETURN_IF_ERROR(RemoveUnnamed(pool, theirs));
    return Error(absl::StatusCode::kAborted, reason::kPoolWriteConflict,
                 absl::StrCat("another writer committed generation ", manifest.generation,
                              " of pool ", pool, " first"))
        .Hint(
            "run the command again: it goes on from the new generation, and an ingest from what it "
            "has staged")
        .With("pool", pool);
  }
  SEER_RETURN_IF_ERROR(committed);
  SEER_FAILPOINT("pool.before_current");
  SEER_RETURN_IF_ERROR(
      store_.Put(absl::StrCat(pool, "/CURRENT"), absl::StrCat(manifest.generation, "\n")));
  return RemoveUnnamed(pool, manifest);
}

absl::Status PoolStore::MarkWriter(const std::string& pool, const std::string& key,
                                   absl::Time since) {
  return store_.Put(
      absl::StrCat(StagingFolder(pool), key, "/", kWriterPrefix, absl::ToUnixMicros(since)), "");
}

absl::StatusOr<absl::Time> PoolStore::OldestWriter(const std::string& pool) {
  SEER_ASSIGN_OR_RETURN(const auto objects, store_.List(StagingFolder(pool)));
  absl::Time oldest = absl::InfiniteFuture();
  for (const ObjectInfo& object : objects) {
    absl::string_view name = absl::string_view(object.key).substr(object.key.rfind('/') + 1);
    int64_t micros = 0;
    if (absl::ConsumePrefix(&name, kWriterPrefix) && absl::SimpleAtoi(name, &micros) &&
        object.modified > clock_.Now() - kShardGrace) {
      oldest = std::min(oldest, absl::FromUnixMicros(micros));
    }
  }
  return oldest;
}

absl::Status PoolStore::RemoveUnnamed(const std::string& pool, const Manifest& manifest) {
  absl::flat_hash_set<std::string> named = {ManifestKey(pool, manifest.generation)};
  for (const CatalogueFile& file : manifest.files) {
    named.insert(CatalogueKey(pool, file));
    named.insert(IndexKey(pool, file));
  }
  SEER_ASSIGN_OR_RETURN(const auto objects,
                        store_.List(GenerationKey(pool, manifest.generation, "")));
  for (const ObjectInfo& object : objects)
    if (!named.contains(object.key)) SEER_RETURN_IF_ERROR(store_.Delete(object.key));
  return absl::OkStatus();
}

}  // namespace seer::dataservice
