#include "dataservice/ingest/garbage.h"

#include <algorithm>
#include <map>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/base/status_macros.h"
#include "dataservice/ingest/staging.h"
#include "dataservice/pool/takedowns.h"

namespace seer::dataservice {
namespace {

// All objects of each generation's folder, committed or not.
absl::StatusOr<std::map<int64_t, std::vector<ObjectInfo>>> Folders(PoolStore& store,
                                                                   const std::string& pool) {
  const std::string root = absl::StrCat(pool, "/generations/");
  SEER_ASSIGN_OR_RETURN(const auto objects, store.objects().List(root));
  std::map<int64_t, std::vector<ObjectInfo>> folders;
  for (const ObjectInfo& object : objects) {
    const absl::string_view path = absl::StripPrefix(object.key, root);
    int64_t number = 0;
    if (absl::SimpleAtoi(path.substr(0, path.find('/')), &number))
      folders[number].push_back(object);
  }
  return folders;
}

// What the generations that stay, and ingests that are not committed, need.
struct Needed {
  absl::flat_hash_set<std::string> files;   // keys of catalogue and index files
  absl::flat_hash_set<std::string> shards;  // by the names that they have today
};

absl::StatusOr<Needed> FindNeeded(PoolStore& store, const std::string& pool,
                                  const std::set<int64_t>& gone,
                                  const std::vector<StagedIngest>& staged) {
  SEER_ASSIGN_OR_RETURN(const auto records, ReadTakedowns(store.objects(), pool));
  const TakedownSet takedowns(records);
  SEER_ASSIGN_OR_RETURN(const auto numbers, store.Generations(pool));
  Needed needed;
  for (const int64_t number : numbers) {
    if (gone.contains(number)) continue;
    SEER_ASSIGN_OR_RETURN(const Manifest manifest, store.ReadManifest(pool, number));
    for (const CatalogueFile& file : manifest.files) {
      needed.files.insert(CatalogueKey(pool, file));
      needed.files.insert(IndexKey(pool, file));
    }
    for (const ShardInfo& shard : manifest.shards)
      if (shard.images > 0) needed.shards.insert(takedowns.ShardNow(shard.name));
  }
  for (const StagedIngest& ingest : staged) {
    SEER_ASSIGN_OR_RETURN(const auto shards, StagedShards(store, ingest, takedowns));
    needed.shards.insert(shards.begin(), shards.end());
  }
  return needed;
}

}  // namespace

absl::Status CollectGarbage(PoolStore& store, Clock& clock, const std::string& pool,
                            const GarbageOptions& options,
                            absl::FunctionRef<absl::Status(const Garbage&)> collected) {
  SEER_RETURN_IF_ERROR(store.Info(pool).status());
  SEER_ASSIGN_OR_RETURN(const int64_t newest, store.Current(pool));
  SEER_ASSIGN_OR_RETURN(const auto folders, Folders(store, pool));
  SEER_ASSIGN_OR_RETURN(const absl::Time writing, store.OldestWriter(pool));
  const absl::Time young = std::min(clock.Now(), writing) - PoolStore::kShardGrace;
  std::set<int64_t> gone;
  for (const auto& [number, objects] : folders) {
    // What is above the newest belongs to a writer that has not committed.
    if (number >= newest || options.keep.contains(number)) continue;
    const auto manifest = store.ReadManifest(pool, number);
    if (manifest.ok() && manifest->created > clock.Now() - options.keep_newer_than) continue;
    if (!manifest.ok() && manifest.status().code() != absl::StatusCode::kNotFound)
      return manifest.status();
    gone.insert(number);
  }

  // Shards are listed before generations are read: what is named by one that is committed in
  // between is needed, and what is written later is not in the list.
  const std::string folder = ShardKey(pool, "");
  SEER_ASSIGN_OR_RETURN(const auto shards, store.objects().List(folder));
  SEER_ASSIGN_OR_RETURN(auto staged, StagedIngests(store, pool));
  const auto stale = std::stable_partition(
      staged.begin(), staged.end(),
      [&](const StagedIngest& ingest) { return ingest.modified > clock.Now() - Staging::kLife; });
  const std::vector<StagedIngest> dead(stale, staged.end());
  staged.erase(stale, staged.end());
  SEER_ASSIGN_OR_RETURN(const Needed needed, FindNeeded(store, pool, gone, staged));

  for (const StagedIngest& ingest : dead) {
    if (!options.dry_run) SEER_RETURN_IF_ERROR(DeleteStaged(store, ingest));
    SEER_RETURN_IF_ERROR(collected({absl::StrCat("staging/", ingest.key), ingest.size_bytes}));
  }

  for (const auto& [number, objects] : folders) {
    // Above the newest, too, a writer that died may have left what it did not commit.
    if (number <= newest && !gone.contains(number)) continue;
    Garbage garbage{absl::StrCat("generations/", number), 0};
    std::vector<std::string> keys;
    for (const ObjectInfo& object : objects) {
      if (needed.files.contains(object.key)) continue;  // a newer generation reads it
      if (number > newest && object.modified > young) continue;
      keys.push_back(object.key);
      garbage.size_bytes += object.size_bytes;
    }
    if (keys.empty()) continue;
    if (!options.dry_run) {
      // The manifest first: a generation without one is not there, and what is left of it is
      // collected by the next call.
      if (number < newest)
        SEER_RETURN_IF_ERROR(store.objects().Delete(GenerationKey(pool, number, "manifest.json")));
      for (const std::string& key : keys) SEER_RETURN_IF_ERROR(store.objects().Delete(key));
    }
    SEER_RETURN_IF_ERROR(collected(garbage));
  }
  for (const ObjectInfo& shard : shards) {
    const std::string name(absl::StripPrefix(shard.key, folder));
    if (needed.shards.contains(name) || shard.modified > young) continue;
    if (!options.dry_run) SEER_RETURN_IF_ERROR(store.objects().Delete(shard.key));
    SEER_RETURN_IF_ERROR(collected({absl::StrCat("shards/", name), shard.size_bytes}));
  }
  return absl::OkStatus();
}

}  // namespace seer::dataservice
