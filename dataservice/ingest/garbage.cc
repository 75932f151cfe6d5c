#include "dataservice/ingest/garbage.h"

#include <algorithm>
#include <map>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/base/status_macros.h"
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

// The manifest first: a generation without one is not there, and what is left of it is collected
// by the next call.
absl::Status DeleteGeneration(PoolStore& store, const std::string& pool, int64_t number,
                              const std::vector<ObjectInfo>& objects) {
  SEER_RETURN_IF_ERROR(store.objects().Delete(GenerationKey(pool, number, "manifest.json")));
  for (const ObjectInfo& object : objects) SEER_RETURN_IF_ERROR(store.objects().Delete(object.key));
  return absl::OkStatus();
}

// The shards that generations need, by the names that they have today.
absl::StatusOr<absl::flat_hash_set<std::string>> Needed(PoolStore& store, const std::string& pool,
                                                        const std::set<int64_t>& gone) {
  SEER_ASSIGN_OR_RETURN(const auto records, ReadTakedowns(store.objects(), pool));
  const TakedownSet takedowns(records);
  SEER_ASSIGN_OR_RETURN(const auto numbers, store.Generations(pool));
  absl::flat_hash_set<std::string> needed;
  for (const int64_t number : numbers) {
    if (gone.contains(number)) continue;
    SEER_ASSIGN_OR_RETURN(const Manifest manifest, store.ReadManifest(pool, number));
    for (const ShardInfo& shard : manifest.shards)
      if (shard.images > 0) needed.insert(takedowns.ShardNow(shard.name));
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
  std::set<int64_t> gone;
  for (const auto& [number, objects] : folders) {
    // What is above the newest belongs to a writer that has not committed.
    if (number >= newest || options.keep.contains(number)) continue;
    const auto manifest = store.ReadManifest(pool, number);
    if (manifest.ok() && manifest->created > clock.Now() - options.keep_newer_than) continue;
    if (!manifest.ok() && manifest.status().code() != absl::StatusCode::kNotFound)
      return manifest.status();
    Garbage garbage{absl::StrCat("generations/", number), 0};
    for (const ObjectInfo& object : objects) garbage.size_bytes += object.size_bytes;
    gone.insert(number);
    if (!options.dry_run) SEER_RETURN_IF_ERROR(DeleteGeneration(store, pool, number, objects));
    SEER_RETURN_IF_ERROR(collected(garbage));
  }

  // Shards are listed before generations are read: what is named by one that is committed in
  // between is needed, and what is written later is not in the list.
  SEER_ASSIGN_OR_RETURN(const absl::Time writing, store.OldestWriter(pool));
  const absl::Time young = std::min(clock.Now(), writing) - PoolStore::kShardGrace;
  const std::string folder = ShardKey(pool, "");
  SEER_ASSIGN_OR_RETURN(const auto shards, store.objects().List(folder));
  SEER_ASSIGN_OR_RETURN(const auto needed, Needed(store, pool, gone));
  for (const ObjectInfo& shard : shards) {
    const std::string name(absl::StripPrefix(shard.key, folder));
    if (needed.contains(name) || shard.modified > young) continue;
    if (!options.dry_run) SEER_RETURN_IF_ERROR(store.objects().Delete(shard.key));
    SEER_RETURN_IF_ERROR(collected({absl::StrCat("shards/", name), shard.size_bytes}));
  }
  return absl::OkStatus();
}

}  // namespace seer::dataservice
