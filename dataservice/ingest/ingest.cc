#include "dataservice/ingest/ingest.h"

#include <algorithm>
#include <optional>
#include <set>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/synchronization/mutex.h"
#include "common/base/digest.h"
#include "common/base/error.h"
#include "common/base/failpoint.h"
#include "common/base/status_macros.h"
#include "common/base/thread.h"
#include "dataservice/ingest/policy.h"
#include "dataservice/ingest/sources.h"
#include "dataservice/ingest/staging.h"
#include "dataservice/ingest/unit.h"
#include "dataservice/ingest/unit_threads.h"
#include "dataservice/pool/catalogue_writer.h"
#include "dataservice/pool/quarantine.h"
#include "dataservice/pool/succession.h"
#include "dataservice/pool/takedowns.h"

namespace seer::dataservice {
namespace {

constexpr int kMostUnitsAtOnce = 16;                 // each holds a shard in memory
constexpr int64_t kBlockBytes = int64_t{256} << 20;  // of images in memory, all units together
constexpr size_t kUnitsReadAtOnce = 32;

using Progress = std::function<absl::Status(const IngestCounts&)>;

class Ingest {
 public:
  // `refresh`: null for an ingest; else `options` are its own.
  Ingest(PoolStore& store, Clock& clock, const std::string& pool, const IngestOptions& options,
         const RefreshOptions* refresh, const Progress& progress)
      : store_(store),
        clock_(clock),
        pool_(pool),
        options_(options),
        refresh_(refresh),
        progress_(progress) {}

  absl::StatusOr<IngestCounts> Run() {
    SEER_RETURN_IF_ERROR(CheckPart(options_.part));
    SEER_ASSIGN_OR_RETURN(const PoolInfo info, store_.Info(pool_));
    PoolPolicy policy = info.policy;
    if (refresh_ != nullptr) policy.max_age = std::min(policy.max_age, refresh_->max_age);
    SEER_ASSIGN_OR_RETURN(policy_, PolicyRules::Create(policy));
    SEER_ASSIGN_OR_RETURN(const int64_t parent, store_.Current(pool_));
    // After that: a takedown which is not among these commits a later generation than `parent`, and
    // this writer loses to it.
    SEER_ASSIGN_OR_RETURN(const auto takedowns, ReadTakedowns(store_.objects(), pool_));
    takedowns_.emplace(takedowns);
    if (parent > 0) {
      SEER_ASSIGN_OR_RETURN(parent_, store_.ReadManifest(pool_, parent));
      if (!options_.request_id.empty() && parent_.request_id == options_.request_id) return counts_;
      manifest_ = parent_;
      if (refresh_ != nullptr) SEER_RETURN_IF_ERROR(Survey(policy.max_age));
    } else if (refresh_ != nullptr) {
      return NothingToRefresh();
    }
    manifest_.parent = parent;
    manifest_.generation = parent + 1;
    manifest_.request_id = options_.request_id;
    manifest_.ingest.clear();
    if (refresh_ == nullptr || !options_.sources.empty()) {
      SEER_RETURN_IF_ERROR(List(policy));
      if (!dry_run()) {
        SEER_ASSIGN_OR_RETURN(const bool done, IsDone());
        if (done) return counts_;
        SEER_ASSIGN_OR_RETURN(staging_, Staging::Open(store_, clock_, pool_, key_));
        SEER_ASSIGN_OR_RETURN(staged_, staging_->Units());
      }
      SEER_RETURN_IF_ERROR(MakeUnits());
      if (staging_) {
        SEER_ASSIGN_OR_RETURN(const bool all, Collect());
        if (!all) return counts_;
      }
    }
    SEER_RETURN_IF_ERROR(Finish());
    return counts_;
  }

 private:
  bool dry_run() const { return refresh_ != nullptr && refresh_->dry_run; }

  // Which of the parent's rows a refresh takes over.
  absl::Status Survey(absl::Duration max_age) {
    const absl::Time now = clock_.Now();
    succession_.emplace(store_, pool_, parent_, [this, max_age, now](const CatalogueRow& row) {
      return takedowns_->Contains(row.id) || !OutsideWindow(max_age, row.captured_at, now).empty();
    });
    SEER_ASSIGN_OR_RETURN(manifest_, succession_->Survey([&](const CatalogueRow& row) {
      present_.insert(RowKey(row.id, row.source));
      if (row.label >= 0) classes_.insert(row.label);
    }));
    present_read_ = true;
    counts_.expired = succession_->dropped();
    return absl::OkStatus();
  }

  // The units of all parts.
  absl::Status List(const PoolPolicy& policy) {
    SourceOptions source_options;
    source_options.labels_from_folders = options_.labels_from_folders;
    SEER_ASSIGN_OR_RETURN(auto list, SourceList::Create(options_.sources, source_options));
    sources_.emplace(std::move(list));
    units_ = sources_->Cut(options_.shard_bytes);
    const auto [begin, end] = RangeOf(options_.part.number);
    bool known = true;
    for (size_t i = begin; i < end; ++i) {
      counts_.total += units_[i].images;
      known = known && units_[i].images > 0;
    }
    if (!known) counts_.total = 0;
    // Neither the generation before nor the number of parts is in it: of both, a unit is free.
    key_ = Sha256Hex(absl::StrCat(refresh_ != nullptr, "\n", options_.labels_from_folders, "\n",
                                  options_.shard_bytes, "\n",
                                  ToJson(PoolInfo{absl::UnixEpoch(), policy}), "\n",
                                  absl::StrJoin(options_.sources, "\n")))
               .substr(0, 32);
    std::string all = key_;
    for (const SourceUnit& unit : units_) absl::StrAppend(&all, unit.id);
    manifest_.ingest = Sha256Hex(all);
    return absl::OkStatus();
  }

  // Whether the newest generation is this very ingest, which others have finished, or a process
  // that was killed before it could clear up. (One alone reads its sources again otherwise: what
  // could not be had the last time may be there now.)
  absl::StatusOr<bool> IsDone() {
    if (parent_.ingest != manifest_.ingest) return false;
    SEER_ASSIGN_OR_RETURN(const auto left, StagedIngests(store_, pool_));
    const auto mine = std::find_if(left.begin(), left.end(),
                                   [&](const StagedIngest& ingest) { return ingest.key == key_; });
    if (mine == left.end()) return options_.part.of > 1;
    SEER_RETURN_IF_ERROR(DeleteStaged(store_, *mine));
    return true;
  }

  std::pair<size_t, size_t> RangeOf(int part) const {
    const auto parts = static_cast<size_t>(options_.part.of), number = static_cast<size_t>(part);
    return {units_.size() * (number - 1) / parts, units_.size() * number / parts};
  }
  int PartOf(size_t unit) const {
    int part = static_cast<int>(unit * static_cast<size_t>(options_.part.of) / units_.size());
    while (RangeOf(part).second <= unit) ++part;
    return part;
  }

  // Makes this part's units on several threads.
  absl::Status MakeUnits() {
    const auto [begin, end] = RangeOf(options_.part.number);
    const int workers =
        std::clamp(std::min(options_.threads,
                            static_cast<int>(std::min<size_t>(end - begin, kMostUnitsAtOnce))),
                   1, kMostUnitsAtOnce);
    context_.store = &store_;
    context_.pool = pool_;
    context_.policy = &*policy_;
    context_.takedowns = &*takedowns_;
    context_.present = &present_;
    context_.now = staging_ ? staging_->begun() : clock_.Now();
    context_.shard_bytes = options_.shard_bytes;
    context_.dry_run = dry_run();
    context_.threads = std::max(1, options_.threads / workers);
    context_.block_bytes = kBlockBytes / workers;
    if (staging_) context_.keep_alive = [this] { return staging_->KeepAlive(); };
    const int downloads = std::max(1, SourceOptions().downloads / workers);
    const auto make = [&](size_t unit, UnitReport report) {
      return Make(units_[unit], downloads, report);
    };
    SEER_ASSIGN_OR_RETURN(counts_,
                          RunUnits(begin, end, workers, std::move(counts_), make, progress_));
    return absl::OkStatus();
  }

  // On any thread.
  absl::Status Make(const SourceUnit& unit, int downloads, UnitReport report) {
    if (staged_.contains(unit.id)) {
      SEER_ASSIGN_OR_RETURN(auto there, ReadUsable(unit.id));
      if (there) {
        there->counts.staged = there->counts.seen;
        return report(there->counts);
      }
    }
    SEER_RETURN_IF_ERROR(ReadPresent());
    SEER_ASSIGN_OR_RETURN(const auto source, sources_->Open(unit, downloads));
    SEER_ASSIGN_OR_RETURN(UnitResult result, MakeUnit(*source, context_, report));
    if (!staging_) return absl::OkStatus();
    result.parent = parent_.generation;
    SEER_RETURN_IF_ERROR(staging_->Write(unit.id, result));
    SEER_FAILPOINT("ingest.after_unit");
    return absl::OkStatus();
  }

  // What the parent has, once somebody asks.
  absl::Status ReadPresent() ABSL_LOCKS_EXCLUDED(present_mu_) {
    absl::MutexLock lock(&present_mu_);  // over I/O: nobody can go on without it
    if (present_read_) return absl::OkStatus();
    present_.reserve(static_cast<size_t>(parent_.images));
    for (const CatalogueFile& file : parent_.files) {
      SEER_RETURN_IF_ERROR(
          ForEachIdentity(store_.objects(), CatalogueKey(pool_, file), [&](const RowIdentity& row) {
            present_.insert(RowKey(row.id, row.source));
            if (row.label >= 0) classes_.insert(row.label);
          }));
    }
    present_read_ = true;
    return absl::OkStatus();
  }

  // What is staged of a unit. Nullopt: nothing, or what cannot be committed on top of the parent,
  // since a shard is not there any more, an image was taken down, or what was left out as present
  // may have gone.
  absl::StatusOr<std::optional<UnitResult>> ReadUsable(const std::string& id) {
    constexpr std::nullopt_t kNone = std::nullopt;
    SEER_ASSIGN_OR_RETURN(auto unit, staging_->Read(id));
    if (!unit || (unit->parent != parent_.generation && unit->counts.present > 0)) return kNone;
    for (const CatalogueRow& row : unit->rows)
      if (takedowns_->Contains(row.id)) return kNone;
    for (const ShardInfo& shard : unit->shards) {
      const auto there = store_.objects().Stat(ShardKey(pool_, shard.name));
      if (absl::IsNotFound(there.status())) return kNone;
      SEER_RETURN_IF_ERROR(there.status());
      if (there->size_bytes != shard.size_bytes) return kNone;
    }
    return unit;
  }

  // Puts all units together, in their order. False: some are missing, or others have committed.
  absl::StatusOr<bool> Collect() {
    SEER_ASSIGN_OR_RETURN(staged_, staging_->Units());
    std::set<int> missing;
    for (size_t i = 0; i < units_.size(); ++i)
      if (!staged_.contains(units_[i].id)) missing.insert(PartOf(i));
    if (missing.empty()) {
      SEER_RETURN_IF_ERROR(ReadPresent());
      writer_.emplace(store_.objects(), pool_, manifest_.generation, parent_.files.size());
      SEER_RETURN_IF_ERROR(TakeUnits(missing));
      SEER_ASSIGN_OR_RETURN(added_files_, writer_->Finish());
    }
    if (missing.empty()) return true;
    SEER_ASSIGN_OR_RETURN(const bool done, CommittedByOthers());
    if (done) return false;
    for (const CatalogueFile& file : added_files_) {
      SEER_RETURN_IF_ERROR(store_.objects().Delete(CatalogueKey(pool_, file)));
      SEER_RETURN_IF_ERROR(store_.objects().Delete(IndexKey(pool_, file)));
    }
    counts_.parts_missing = static_cast<int>(missing.size());
    return false;
  }

  // Several are read at once, since each costs a wait for storage.
  absl::Status TakeUnits(std::set<int>& missing) {
    for (size_t first = 0; first < units_.size(); first += kUnitsReadAtOnce) {
      const size_t count = std::min(kUnitsReadAtOnce, units_.size() - first);
      std::vector<absl::StatusOr<std::optional<UnitResult>>> read(count,
                                                                  absl::UnknownError("not read"));
      std::vector<Thread> readers;
      for (size_t i = 0; i < count; ++i)
        readers.emplace_back("ingest-read", [&, i] { read[i] = ReadUsable(units_[first + i].id); });
      readers.clear();
      for (size_t i = 0; i < count; ++i) {
        SEER_RETURN_IF_ERROR(read[i].status());
        if (!*read[i]) missing.insert(PartOf(first + i));
        if (missing.empty()) SEER_RETURN_IF_ERROR(Take(std::move(**read[i])));
      }
      SEER_RETURN_IF_ERROR(staging_->KeepAlive());
      SEER_RETURN_IF_ERROR(progress_(counts_));
    }
    return absl::OkStatus();
  }

  absl::Status Take(UnitResult unit) {
    totals_ += unit.counts;
    std::vector<int32_t> places(unit.shards.size(), -1);  // among the manifest's shards
    for (CatalogueRow& row : unit.rows) {
      // Another ingest may have brought it in since.
      if (unit.parent != parent_.generation && present_.contains(RowKey(row.id, row.source))) {
        --totals_.added;
        ++totals_.present;
        continue;
      }
      int32_t& place = places[static_cast<size_t>(row.shard)];
      if (place < 0) {
        place = static_cast<int32_t>(manifest_.shards.size());
        manifest_.shards.push_back(unit.shards[static_cast<size_t>(row.shard)]);
        manifest_.shards.back().images = 0;
      }
      ++manifest_.shards[static_cast<size_t>(place)].images;
      row.shard = place;
      row.added_in = manifest_.generation;
      CountRow(row, manifest_);
      if (row.label >= 0) classes_.insert(row.label);
      SEER_RETURN_IF_ERROR(writer_->Add(std::move(row)));
    }
    for (const auto& [rule, count] : unit.counts.refused_by_rule) manifest_.refused[rule] += count;
    for (RefusedImage& image : unit.refused)
      if (++refused_by_rule_[image.rule] <= RefusedImage::kMostOfARule)
        refused_.push_back(std::move(image));
    for (QuarantinedImage& image : unit.quarantined) quarantine_.push_back(std::move(image));
    return absl::OkStatus();
  }

  // Whether a generation since the parent is this very ingest; then nothing is left to do.
  // POOL_WRITE_CONFLICT: there are others since.
  absl::StatusOr<bool> CommittedByOthers() {
    SEER_ASSIGN_OR_RETURN(const int64_t current, store_.Current(pool_));
    for (int64_t number = parent_.generation + 1; number <= current; ++number) {
      const auto manifest = store_.ReadManifest(pool_, number);
      if (!manifest.ok() && !absl::IsNotFound(manifest.status())) return manifest.status();
      if (!manifest.ok() || manifest->ingest != manifest_.ingest) continue;
      SEER_RETURN_IF_ERROR(staging_->Remove());
      return true;
    }
    return false;
  }

  absl::Status Finish() {
    const int64_t images = manifest_.images + (dry_run() ? counts_.added : 0);
    if (refresh_ != nullptr && images == 0) return WouldBeEmpty();
    if (dry_run()) return absl::OkStatus();
    if (!quarantine_.empty()) {
      SEER_RETURN_IF_ERROR(
          WriteQuarantine(store_.objects(), pool_, FileOf(quarantine_), quarantine_));
    }
    if (!refused_.empty())
      SEER_RETURN_IF_ERROR(WriteRefused(store_.objects(), pool_, FileOf(refused_), refused_));
    if (totals_.added == 0 && counts_.expired == 0) {
      if (staging_) SEER_RETURN_IF_ERROR(staging_->Remove());
      return refresh_ != nullptr || totals_.present > 0 ? absl::OkStatus() : NothingAccepted();
    }
    manifest_.quarantined += totals_.quarantined;
    manifest_.classes = static_cast<int>(classes_.size());
    if (succession_) {
      SEER_ASSIGN_OR_RETURN(manifest_.files, succession_->Write());
    }
    manifest_.files.insert(manifest_.files.end(), added_files_.begin(), added_files_.end());
    const absl::Status committed = store_.Commit(pool_, manifest_);
    if (staging_ && HasReason(committed, reason::kPoolWriteConflict)) {
      SEER_ASSIGN_OR_RETURN(const bool done, CommittedByOthers());
      return done ? absl::OkStatus() : committed;
    }
    SEER_RETURN_IF_ERROR(committed);
    return staging_ ? staging_->Remove() : absl::OkStatus();
  }

  // Named by what is in it, so that an ingest that is repeated leaves one.
  template <typename Image>
  std::string FileOf(const std::vector<Image>& images) const {
    std::string sources;
    for (const Image& image : images) absl::StrAppend(&sources, image.source, "\n");
    return absl::StrFormat("%08d-%s.jsonl", manifest_.generation, Sha256Hex(sources).substr(0, 16));
  }

  absl::Status NothingToRefresh() const {
    return Error(absl::StatusCode::kFailedPrecondition, reason::kPoolEmpty,
                 absl::StrCat("pool ", pool_, " has no generation yet"))
        .Hint(absl::StrCat("`seer pool ingest ", pool_, " DIR` makes the first"))
        .With("pool", pool_);
  }

  absl::Status WouldBeEmpty() const {
    return Error(absl::StatusCode::kFailedPrecondition, reason::kPoolWouldBeEmpty,
                 absl::StrCat("all ", counts_.expired, " images of pool ", pool_,
                              " would be left out, and none is added"))
        .Field("max_age")
        .Hint("name sources with newer images, or a longer --max-age; nothing was changed")
        .With("pool", pool_);
  }

  absl::Status NothingAccepted() const {
    std::string why;
    if (totals_.quarantined > 0)
      absl::StrAppend(&why, "; ", totals_.quarantined,
                      " could not be decoded, the first: ", quarantine_.front().message);
    if (totals_.refused > 0)
      absl::StrAppend(&why, "; ", totals_.refused, " were refused by the pool's policy");
    return Error(absl::StatusCode::kFailedPrecondition, reason::kSourceEmpty,
                 absl::StrCat("none of ", totals_.seen, " images was accepted into pool ", pool_,
                              why))
        .Field("sources")
        .Hint(
            "look at `seer pool describe`: it shows the policy and what was refused or "
            "quarantined");
  }

  PoolStore& store_;
  Clock& clock_;
  const std::string pool_;
  const IngestOptions& options_;
  const RefreshOptions* const refresh_;
  const Progress& progress_;
  std::optional<PolicyRules> policy_;
  std::optional<TakedownSet> takedowns_;
  std::optional<Succession> succession_;  // of a refresh
  Manifest parent_;                       // without files: there is none
  Manifest manifest_;                     // of the next generation

  std::optional<SourceList> sources_;
  std::vector<SourceUnit> units_;     // of all parts
  std::string key_;                   // of the staging
  std::unique_ptr<Staging> staging_;  // null: a dry run, or a refresh without sources
  absl::flat_hash_set<std::string> staged_;
  UnitContext context_;
  absl::Mutex present_mu_;  // while the threads run
  bool present_read_ = false;
  absl::flat_hash_set<uint64_t> present_;
  std::set<int32_t> classes_;

  std::optional<CatalogueWriter> writer_;
  std::vector<CatalogueFile> added_files_;
  std::vector<QuarantinedImage> quarantine_;
  std::vector<RefusedImage> refused_;
  std::map<std::string, int64_t> refused_by_rule_;
  IngestCounts counts_;  // of this part
  IngestCounts totals_;  // of all parts
};

}  // namespace

absl::StatusOr<IngestCounts> IngestIntoPool(PoolStore& store, Clock& clock, const std::string& pool,
                                            const IngestOptions& options,
                                            const Progress& progress) {
  return Ingest(store, clock, pool, options, nullptr, progress).Run();
}

absl::StatusOr<IngestCounts> RefreshPool(PoolStore& store, Clock& clock, const std::string& pool,
                                         const RefreshOptions& options, const Progress& progress) {
  return Ingest(store, clock, pool, options.ingest, &options, progress).Run();
}

}  // namespace seer::dataservice
