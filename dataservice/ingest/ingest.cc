#include "dataservice/ingest/ingest.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <optional>
#include <set>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/base/digest.h"
#include "common/base/error.h"
#include "common/base/philox.h"
#include "common/base/status_macros.h"
#include "common/base/thread.h"
#include "dataservice/decode/decoder.h"
#include "dataservice/ingest/policy.h"
#include "dataservice/ingest/sources.h"
#include "dataservice/pool/catalogue_writer.h"
#include "dataservice/pool/quarantine.h"
#include "dataservice/pool/succession.h"
#include "dataservice/pool/takedowns.h"
#include "dataservice/pool/tar_shard.h"

namespace seer::dataservice {
namespace {

constexpr size_t kBlockImages = 512;                 // read, then checked in parallel
constexpr int64_t kBlockBytes = int64_t{256} << 20;  // bounds the memory of a block

struct Checked {
  SourceImage image;
  ImageId id{};
  absl::StatusOr<ImageInfo> info = absl::UnknownError("not checked");
};

// Decodes at the smallest scale: every coefficient is read, few pixels are made.
void Check(Checked& checked) {
  if (!checked.image.failure.ok()) {
    checked.info = checked.image.failure;
    return;
  }
  checked.id = Sha256(checked.image.bytes);
  DecodeOptions options;
  options.min_width = options.min_height = 1;
  checked.info = ReadImageInfo(checked.image.bytes, options.limits);
  if (!checked.info.ok()) return;
  const auto pixels = Decode(checked.image.bytes, options);
  if (!pixels.ok()) checked.info = pixels.status();
}

void CheckAll(std::vector<Checked>& block, int threads) {
  std::atomic<size_t> next{0};
  const auto work = [&] {
    for (size_t i; (i = next++) < block.size();) Check(block[i]);
  };
  std::vector<Thread> workers;
  for (int i = 1; i < threads; ++i) workers.emplace_back("ingest", work);
  work();
}

class Ingest {
 public:
  // `refresh`: null for an ingest; else `options` are its own.
  Ingest(PoolStore& store, Clock& clock, const std::string& pool, const IngestOptions& options,
         const RefreshOptions* refresh)
      : store_(store), clock_(clock), pool_(pool), options_(options), refresh_(refresh) {}

  absl::StatusOr<IngestCounts> Run(
      const std::function<absl::Status(const IngestCounts&)>& progress) {
    SEER_ASSIGN_OR_RETURN(const PoolInfo info, store_.Info(pool_));
    SEER_ASSIGN_OR_RETURN(policy_, PolicyRules::Create(Policy(info.policy)));
    SEER_ASSIGN_OR_RETURN(const int64_t parent, store_.Current(pool_));
    // After that: a takedown which is not among these commits a later generation than `parent`, and
    // this writer loses to it.
    SEER_ASSIGN_OR_RETURN(const auto takedowns, ReadTakedowns(store_.objects(), pool_));
    takedowns_.emplace(takedowns);
    if (parent > 0) {
      SEER_ASSIGN_OR_RETURN(parent_, store_.ReadManifest(pool_, parent));
      if (!options_.request_id.empty() && parent_.request_id == options_.request_id) return counts_;
      manifest_ = parent_;
      SEER_RETURN_IF_ERROR(refresh_ == nullptr ? ReadPresent() : Survey(info.policy));
    } else if (refresh_ != nullptr) {
      return NothingToRefresh();
    }
    manifest_.parent = parent;
    manifest_.generation = parent + 1;
    manifest_.request_id = options_.request_id;
    writer_.emplace(store_.objects(), pool_, manifest_.generation, parent_.files.size());
    if (refresh_ == nullptr || !options_.sources.empty())
      SEER_RETURN_IF_ERROR(ReadSources(progress));
    SEER_RETURN_IF_ERROR(Finish());
    return counts_;
  }

 private:
  bool dry_run() const { return refresh_ != nullptr && refresh_->dry_run; }

  PoolPolicy Policy(PoolPolicy policy) const {
    if (refresh_ != nullptr) policy.max_age = std::min(policy.max_age, refresh_->max_age);
    return policy;
  }

  absl::Status ReadSources(const std::function<absl::Status(const IngestCounts&)>& progress) {
    SEER_ASSIGN_OR_RETURN(auto source,
                          OpenSources(options_.sources, {options_.labels_from_folders}));
    counts_.total = source->total();
    for (bool more = true; more;) {
      std::vector<Checked> block;
      SEER_ASSIGN_OR_RETURN(more, ReadBlock(*source, block));
      CheckAll(block, options_.threads);
      for (Checked& checked : block) SEER_RETURN_IF_ERROR(Take(checked));
      if (marked_ && clock_.Steady() - *marked_ > PoolStore::kShardGrace / 6)
        SEER_RETURN_IF_ERROR(Mark());
      SEER_RETURN_IF_ERROR(progress(counts_));
    }
    return absl::OkStatus();
  }

  // 64 bits tell rows apart: of a billion rows and a new image two are alike once in 10^10.
  static uint64_t Identity(const ImageId& id, absl::string_view source) {
    uint64_t bytes;
    std::memcpy(&bytes, id.data(), sizeof(bytes));
    return bytes ^ StableHash(source);
  }

  absl::Status ReadPresent() {
    present_.reserve(static_cast<size_t>(parent_.images));
    for (const CatalogueFile& file : parent_.files) {
      SEER_RETURN_IF_ERROR(
          ForEachIdentity(store_.objects(), CatalogueKey(pool_, file), [&](const RowIdentity& row) {
            present_.insert(Identity(row.id, row.source));
            if (row.label >= 0) classes_.insert(row.label);
          }));
    }
    return absl::OkStatus();
  }

  // Which of the parent's rows a refresh takes over.
  absl::Status Survey(const PoolPolicy& policy) {
    const absl::Duration max_age = Policy(policy).max_age;
    const absl::Time now = clock_.Now();
    succession_.emplace(store_, pool_, parent_, [this, max_age, now](const CatalogueRow& row) {
      return takedowns_->Contains(row.id) || !OutsideWindow(max_age, row.captured_at, now).empty();
    });
    SEER_ASSIGN_OR_RETURN(manifest_, succession_->Survey([&](const CatalogueRow& row) {
      present_.insert(Identity(row.id, row.source));
      if (row.label >= 0) classes_.insert(row.label);
    }));
    counts_.expired = succession_->dropped();
    return absl::OkStatus();
  }

  absl::StatusOr<bool> ReadBlock(ImageSource& source, std::vector<Checked>& block) {
    int64_t bytes = 0;
    while (block.size() < kBlockImages && bytes < kBlockBytes) {
      SEER_ASSIGN_OR_RETURN(auto image, source.Next());
      if (!image) return false;
      bytes += static_cast<int64_t>(image->bytes.size());
      block.push_back({std::move(*image)});
    }
    return true;
  }

  absl::Status Take(Checked& checked) {
    const SourceImage& image = checked.image;
    ++counts_.seen;
    counts_.bytes_read += static_cast<int64_t>(image.bytes.size());
    if (!checked.info.ok()) {
      const auto detail = GetErrorDetail(checked.info.status());
      quarantine_.push_back({image.source,
                             detail ? detail->reason : std::string(reason::kImageCorrupt),
                             std::string(checked.info.status().message()), clock_.Now()});
      ++counts_.quarantined;
      return absl::OkStatus();
    }
    if (present_.contains(Identity(checked.id, image.source))) {
      ++counts_.present;
      return absl::OkStatus();
    }
    CatalogueRow row = RowOf(checked);
    const std::string rule =
        takedowns_->Contains(row.id) ? "taken_down" : policy_->Refusing(row, clock_.Now());
    if (!rule.empty()) {
      ++manifest_.refused[rule];
      ++counts_.refused;
      if (++counts_.refused_by_rule[rule] <= RefusedImage::kMostOfARule)
        refused_.push_back({image.source, rule, clock_.Now()});
      return absl::OkStatus();
    }
    return Add(checked, std::move(row));
  }

  // All of the row but where its bytes lie.
  CatalogueRow RowOf(const Checked& checked) const {
    const SourceImage& image = checked.image;
    CatalogueRow row;
    row.id = checked.id;
    row.size = static_cast<int64_t>(image.bytes.size());
    row.width = checked.info->width;
    row.height = checked.info->height;
    row.format = std::string(FormatName(checked.info->format));
    row.source = image.source;
    row.country = image.country;
    row.visibility = image.visibility;
    row.captured_at = image.captured_at;
    row.added_in = manifest_.generation;
    row.label = image.label;
    return row;
  }

  absl::Status Add(const Checked& checked, CatalogueRow row) {
    if (!shard_) shard_.emplace();
    row.shard = static_cast<int32_t>(manifest_.shards.size());
    // The count keeps the names of equal images apart.
    const std::string key = absl::StrCat(IdHex(row.id), "-", shard_images_);
    SEER_ASSIGN_OR_RETURN(
        row.offset, shard_->Add(absl::StrCat(key, ".", row.format == "jpeg" ? "jpg" : row.format),
                                checked.image.bytes));
    if (row.label >= 0)
      SEER_RETURN_IF_ERROR(shard_->Add(key + ".cls", absl::StrCat(row.label)).status());
    CountRow(row, manifest_);
    if (row.label >= 0) classes_.insert(row.label);
    if (!dry_run()) SEER_RETURN_IF_ERROR(writer_->Add(std::move(row)));
    ++shard_images_;
    ++counts_.added;
    return shard_->size_bytes() >= options_.shard_bytes ? CloseShard() : absl::OkStatus();
  }

  // Shards that are written, and not named yet, are not garbage.
  absl::Status Mark() {
    marked_ = clock_.Steady();
    return store_.MarkWriter(pool_, manifest_.generation, begun_);
  }

  absl::Status CloseShard() {
    if (!shard_) return absl::OkStatus();
    SEER_ASSIGN_OR_RETURN(const std::string bytes, shard_->Finish());
    std::string name;
    if (!dry_run()) {
      if (!marked_) SEER_RETURN_IF_ERROR(Mark());
      SEER_ASSIGN_OR_RETURN(name, store_.WriteShard(pool_, bytes));
    }
    manifest_.shards.push_back({name, static_cast<int64_t>(bytes.size()), shard_images_});
    shard_.reset();
    shard_images_ = 0;
    return absl::OkStatus();
  }

  absl::Status Finish() {
    SEER_RETURN_IF_ERROR(CloseShard());
    if (refresh_ != nullptr && manifest_.images == 0) return WouldBeEmpty();
    if (dry_run()) return absl::OkStatus();
    if (!quarantine_.empty()) {
      SEER_RETURN_IF_ERROR(
          WriteQuarantine(store_.objects(), pool_, FileOf(quarantine_), quarantine_));
    }
    if (!refused_.empty())
      SEER_RETURN_IF_ERROR(WriteRefused(store_.objects(), pool_, FileOf(refused_), refused_));
    if (counts_.added == 0 && counts_.expired == 0)
      return refresh_ != nullptr || counts_.present > 0 ? absl::OkStatus() : NothingAccepted();
    manifest_.quarantined += counts_.quarantined;
    manifest_.classes = static_cast<int>(classes_.size());
    SEER_ASSIGN_OR_RETURN(const auto added, writer_->Finish());
    if (succession_) {
      SEER_ASSIGN_OR_RETURN(manifest_.files, succession_->Write());
    }
    manifest_.files.insert(manifest_.files.end(), added.begin(), added.end());
    return store_.Commit(pool_, manifest_);
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
    if (counts_.quarantined > 0)
      absl::StrAppend(&why, "; ", counts_.quarantined,
                      " could not be decoded, the first: ", quarantine_.front().message);
    if (counts_.refused > 0)
      absl::StrAppend(&why, "; ", counts_.refused, " were refused by the pool's policy");
    return Error(absl::StatusCode::kFailedPrecondition, reason::kSourceEmpty,
                 absl::StrCat("none of ", counts_.seen, " images was accepted into pool ", pool_,
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
  std::optional<PolicyRules> policy_;
  std::optional<TakedownSet> takedowns_;
  std::optional<Succession> succession_;  // of a refresh
  Manifest parent_;                       // without files: there is none
  Manifest manifest_;                     // of the next generation
  std::optional<CatalogueWriter> writer_;
  absl::flat_hash_set<uint64_t> present_;
  std::set<int32_t> classes_;
  std::optional<TarShardBuilder> shard_;
  int64_t shard_images_ = 0;
  const absl::Time begun_ = clock_.Now();
  std::optional<absl::Duration> marked_;  // when it was last
  std::vector<QuarantinedImage> quarantine_;
  std::vector<RefusedImage> refused_;
  IngestCounts counts_;
};

}  // namespace

absl::StatusOr<IngestCounts> IngestIntoPool(
    PoolStore& store, Clock& clock, const std::string& pool, const IngestOptions& options,
    const std::function<absl::Status(const IngestCounts&)>& progress) {
  return Ingest(store, clock, pool, options, nullptr).Run(progress);
}

absl::StatusOr<IngestCounts> RefreshPool(
    PoolStore& store, Clock& clock, const std::string& pool, const RefreshOptions& options,
    const std::function<absl::Status(const IngestCounts&)>& progress) {
  return Ingest(store, clock, pool, options.ingest, &options).Run(progress);
}

}  // namespace seer::dataservice
