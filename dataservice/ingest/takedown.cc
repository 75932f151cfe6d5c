#include "dataservice/ingest/takedown.h"

#include <algorithm>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/error.h"
#include "common/base/failpoint.h"
#include "common/base/status_macros.h"
#include "dataservice/pool/succession.h"

namespace seer::dataservice {
namespace {

constexpr int kCommits = 10;  // lost to other writers until it is given up
constexpr absl::string_view kRequestPrefix = "takedown ";

// Where bytes of one shard lie.
using Places = std::set<std::pair<int64_t, int64_t>>;  // offset, size

// Everything that the committed generations have of certain images.
struct Findings {
  Manifest newest;                       // without a number: the pool is empty
  int64_t rows = 0;                      // of the newest
  std::map<std::string, Places> shards;  // by the name that their bytes have today
  ImageIds seen;
  std::set<std::string> committed_by;  // request ids of all generations
};

absl::StatusOr<Findings> FindImages(PoolStore& store, const std::string& pool,
                                    const TakedownSet& takedowns, RowFinder& finder) {
  Findings findings;
  SEER_ASSIGN_OR_RETURN(const auto generations, store.Generations(pool));
  for (const int64_t number : generations) {
    SEER_ASSIGN_OR_RETURN(Manifest manifest, store.ReadManifest(pool, number));
    SEER_ASSIGN_OR_RETURN(const auto rows, finder.Find(manifest));
    for (const RowFinder::Row& row : rows) {
      findings.seen.insert(row.image.id);
      const std::string& named = manifest.shards[static_cast<size_t>(row.image.shard)].name;
      findings.shards[takedowns.ShardNow(named)].insert({row.image.offset, row.image.size});
    }
    findings.committed_by.insert(manifest.request_id);
    findings.rows = static_cast<int64_t>(rows.size());
    findings.newest = std::move(manifest);
  }
  return findings;
}

absl::Status NoImage(const std::string& pool, const ImageId& id) {
  return Error(absl::StatusCode::kNotFound, reason::kImageNotFound,
               absl::StrCat("no generation of pool ", pool, " has image ", IdHex(id)))
      .Field("image_ids")
      .Hint("take the ids that `seer pool order` prints, of this pool; nothing was changed")
      .With("image", IdHex(id));
}

absl::Status CheckPresent(const std::string& pool, const std::vector<ImageId>& ids,
                          const TakedownSet& takedowns, const Findings& findings) {
  for (const ImageId& id : ids)
    if (!findings.seen.contains(id) && !takedowns.Contains(id)) return NoImage(pool, id);
  return absl::OkStatus();
}

class Completion {
 public:
  Completion(PoolStore& store, Clock& clock, const std::string& pool,
             const TakedownProgress& progress)
      : store_(store), clock_(clock), pool_(pool), progress_(progress) {}

  absl::Status Run() {
    for (int attempt = 1;; ++attempt) {
      SEER_RETURN_IF_ERROR(Read());
      if (records_.empty()) return absl::OkStatus();
      RowFinder finder(store_.objects(), pool_, TakedownSet(records_).ids());
      SEER_ASSIGN_OR_RETURN(const Findings findings,
                            FindImages(store_, pool_, *takedowns_, finder));
      counts_ = {findings.rows, static_cast<int64_t>(findings.shards.size()), 0};
      SEER_RETURN_IF_ERROR(progress_(counts_));
      wiped_.clear();
      for (const auto& [shard, places] : findings.shards) SEER_RETURN_IF_ERROR(Wipe(shard, places));
      SEER_FAILPOINT("takedown.after_shards");
      const absl::Status committed = Commit(findings);
      if (committed.ok()) break;
      if (!HasReason(committed, reason::kPoolWriteConflict) || attempt == kCommits)
        return committed;
    }
    SEER_FAILPOINT("takedown.after_commit");
    return Close();
  }

 private:
  absl::Status Read() {
    SEER_ASSIGN_OR_RETURN(records_, ReadTakedowns(store_.objects(), pool_));
    takedowns_.emplace(records_);
    std::erase_if(records_, [](const TakedownRecord& record) { return record.done(); });
    return absl::OkStatus();
  }

  // Writes the shard anew with zeros in those places.
  absl::Status Wipe(const std::string& shard, const Places& places) {
    SEER_ASSIGN_OR_RETURN(std::string bytes, store_.objects().Get(ShardKey(pool_, shard)));
    for (const auto& [offset, size] : places) {
      if (offset > static_cast<int64_t>(bytes.size()) - size) {
        return Error(absl::StatusCode::kDataLoss, reason::kPoolCorrupt,
                     absl::StrCat(ShardKey(pool_, shard), " ends before byte ", offset + size))
            .Hint("restore the file from a copy of the pool");
      }
      std::fill_n(bytes.begin() + offset, size, '\0');
    }
    SEER_ASSIGN_OR_RETURN(const std::string name, store_.WriteShard(pool_, bytes));
    if (name != shard) wiped_[shard] = name;
    ++counts_.shards_rewritten;
    return progress_(counts_);
  }

  // A generation without the images. It is committed also where none of its rows changes: so a
  // writer that began before the record was there, and may bring one of the images in, loses.
  absl::Status Commit(const Findings& findings) {
    std::vector<std::string> names;
    bool all_committed = true;
    for (const TakedownRecord& record : records_) {
      names.push_back(record.name);
      all_committed =
          all_committed && std::any_of(findings.committed_by.begin(), findings.committed_by.end(),
                                       [&](const std::string& by) {
                                         return absl::StartsWith(by, kRequestPrefix) &&
                                                absl::StrContains(by, record.name);
                                       });
    }
    const Manifest& parent = findings.newest;
    const bool names_old = std::any_of(
        parent.shards.begin(), parent.shards.end(),
        [&](const ShardInfo& shard) { return wiped_.contains(takedowns_->ShardNow(shard.name)); });
    generation_ = parent.generation;
    if (parent.generation == 0 || (all_committed && findings.rows == 0 && !names_old))
      return absl::OkStatus();
    Succession succession(store_, pool_, parent,
                          [&](const CatalogueRow& row) { return takedowns_->Contains(row.id); });
    std::set<int32_t> classes;
    SEER_ASSIGN_OR_RETURN(Manifest next, succession.Survey([&](const CatalogueRow& row) {
      if (row.label >= 0) classes.insert(row.label);
    }));
    for (ShardInfo& shard : next.shards) {
      shard.name = takedowns_->ShardNow(shard.name);
      const auto wiped = wiped_.find(shard.name);
      if (wiped != wiped_.end()) shard.name = wiped->second;
    }
    next.classes = static_cast<int>(classes.size());
    next.request_id = absl::StrCat(kRequestPrefix, absl::StrJoin(names, " "));
    SEER_ASSIGN_OR_RETURN(next.files, succession.Write());
    generation_ = next.generation;
    return store_.Commit(pool_, next);
  }

  // Records say where the bytes are, then the old ones go, then the records say that it is done.
  absl::Status Close() {
    std::set<std::string> old;
    for (TakedownRecord& record : records_) {
      record.generation = record.generation == 0 ? generation_ : record.generation;
      for (const auto& [before, after] : wiped_) record.shards[before] = after;
      SEER_RETURN_IF_ERROR(Write(record));
      for (const auto& [before, after] : record.shards) old.insert(before);
    }
    SEER_FAILPOINT("takedown.after_mapping");
    for (const std::string& shard : old)
      SEER_RETURN_IF_ERROR(store_.objects().Delete(ShardKey(pool_, shard)));
    SEER_FAILPOINT("takedown.after_delete");
    for (TakedownRecord& record : records_) {
      record.finished = clock_.Now();
      SEER_RETURN_IF_ERROR(Write(record));
    }
    return absl::OkStatus();
  }

  absl::Status Write(const TakedownRecord& record) {
    return store_.objects().Put(TakedownKey(pool_, record.name), ToJson(record));
  }

  PoolStore& store_;
  Clock& clock_;
  const std::string pool_;
  const TakedownProgress& progress_;
  std::vector<TakedownRecord> records_;       // those that are not finished
  std::optional<TakedownSet> takedowns_;      // all
  std::map<std::string, std::string> wiped_;  // shards by name, before and after
  int64_t generation_ = 0;
  TakedownCounts counts_;
};

}  // namespace

absl::Status CompleteTakedowns(PoolStore& store, Clock& clock, const std::string& pool,
                               const TakedownProgress& progress) {
  return Completion(store, clock, pool, progress).Run();
}

absl::StatusOr<TakedownCounts> TryTakeDown(PoolStore& store, const std::string& pool,
                                           const std::vector<ImageId>& ids) {
  SEER_RETURN_IF_ERROR(store.Info(pool).status());
  SEER_ASSIGN_OR_RETURN(const auto records, ReadTakedowns(store.objects(), pool));
  const TakedownSet takedowns(records);
  RowFinder finder(store.objects(), pool, ImageIds(ids.begin(), ids.end()));
  SEER_ASSIGN_OR_RETURN(const Findings findings, FindImages(store, pool, takedowns, finder));
  SEER_RETURN_IF_ERROR(CheckPresent(pool, ids, takedowns, findings));
  return TakedownCounts{findings.rows, static_cast<int64_t>(findings.shards.size()), 0};
}

absl::StatusOr<TakedownRecord> TakeDown(PoolStore& store, Clock& clock, const std::string& pool,
                                        std::vector<ImageId> ids, const std::string& reason,
                                        const TakedownProgress& progress) {
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  SEER_RETURN_IF_ERROR(store.Info(pool).status());
  SEER_ASSIGN_OR_RETURN(auto records, ReadTakedowns(store.objects(), pool));
  const auto of_ids = [&](const TakedownRecord& record) { return record.ids == ids; };
  auto record = std::find_if(records.begin(), records.end(), of_ids);
  std::string name;
  if (record != records.end()) {
    if (record->done()) return *record;
    name = record->name;
  } else {
    SEER_RETURN_IF_ERROR(TryTakeDown(store, pool, ids).status());
    TakedownRecord fresh;
    fresh.ids = ids;
    fresh.reason = reason;
    fresh.created = clock.Now();
    name = TakedownName(fresh.created, ids);
    const absl::Status written =
        store.objects().PutIfAbsent(TakedownKey(pool, name), ToJson(fresh));
    // There already: the same call is made twice at once.
    if (written.code() != absl::StatusCode::kAlreadyExists) SEER_RETURN_IF_ERROR(written);
    SEER_FAILPOINT("takedown.after_record");
  }
  SEER_RETURN_IF_ERROR(CompleteTakedowns(store, clock, pool, progress));
  SEER_ASSIGN_OR_RETURN(const std::string text, store.objects().Get(TakedownKey(pool, name)));
  SEER_ASSIGN_OR_RETURN(TakedownRecord finished, TakedownFromJson(text, name));
  finished.name = name;
  return finished;
}

}  // namespace seer::dataservice
