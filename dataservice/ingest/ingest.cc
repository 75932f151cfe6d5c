#include "dataservice/ingest/ingest.h"

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
  Ingest(PoolStore& store, Clock& clock, const std::string& pool, const IngestOptions& options)
      : store_(store), clock_(clock), pool_(pool), options_(options) {}

  absl::StatusOr<IngestCounts> Run(
      const std::function<absl::Status(const IngestCounts&)>& progress) {
    SEER_ASSIGN_OR_RETURN(const PoolInfo info, store_.Info(pool_));
    policy_ = info.policy;
    SEER_ASSIGN_OR_RETURN(const int64_t parent, store_.Current(pool_));
    if (parent > 0) {
      SEER_ASSIGN_OR_RETURN(manifest_, store_.ReadManifest(pool_, parent));
      if (!options_.request_id.empty() && manifest_.request_id == options_.request_id)
        return counts_;
      parent_ = manifest_;
      SEER_RETURN_IF_ERROR(ReadPresent());
    }
    manifest_.parent = parent;
    manifest_.generation = parent + 1;
    manifest_.request_id = options_.request_id;
    writer_.emplace(store_.objects(), pool_, manifest_.generation, parent_.files.size());
    SEER_ASSIGN_OR_RETURN(auto source,
                          OpenSources(options_.sources, {options_.labels_from_folders}));
    counts_.total = source->total();
    for (bool more = true; more;) {
      std::vector<Checked> block;
      SEER_ASSIGN_OR_RETURN(more, ReadBlock(*source, block));
      CheckAll(block, options_.threads);
      for (Checked& checked : block) SEER_RETURN_IF_ERROR(Take(checked));
      SEER_RETURN_IF_ERROR(progress(counts_));
    }
    SEER_RETURN_IF_ERROR(Finish());
    return counts_;
  }

 private:
  // 64 bits tell rows apart: of a billion rows and a new image two are alike once in 10^10.
  static uint64_t Identity(const ImageId& id, absl::string_view source) {
    uint64_t bytes;
    std::memcpy(&bytes, id.data(), sizeof(bytes));
    return bytes ^ StableHash(source);
  }

  absl::Status ReadPresent() {
    present_.reserve(static_cast<size_t>(parent_.images));
    for (const CatalogueFile& file : parent_.files) {
      SEER_RETURN_IF_ERROR(ForEachIdentity(store_.objects(),
                                           GenerationKey(pool_, parent_.generation, file.catalogue),
                                           [&](const RowIdentity& row) {
                                             present_.insert(Identity(row.id, row.source));
                                             if (row.label >= 0) classes_.insert(row.label);
                                           }));
    }
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
    const absl::string_view rule =
        RefusingRule(policy_, image, checked.info->width, checked.info->height, clock_.Now());
    if (!rule.empty()) {
      ++manifest_.refused[std::string(rule)];
      ++counts_.refused_by_rule[std::string(rule)];
      ++counts_.refused;
      return absl::OkStatus();
    }
    return Add(checked);
  }

  absl::Status Add(const Checked& checked) {
    const SourceImage& image = checked.image;
    const std::string format(FormatName(checked.info->format));
    if (!shard_) shard_.emplace();
    CatalogueRow row;
    row.id = checked.id;
    row.shard = static_cast<int32_t>(manifest_.shards.size());
    // The count keeps the names of equal images apart.
    const std::string key = absl::StrCat(IdHex(row.id), "-", shard_images_);
    SEER_ASSIGN_OR_RETURN(
        row.offset,
        shard_->Add(absl::StrCat(key, ".", format == "jpeg" ? "jpg" : format), image.bytes));
    if (image.label >= 0)
      SEER_RETURN_IF_ERROR(shard_->Add(key + ".cls", absl::StrCat(image.label)).status());
    row.size = static_cast<int64_t>(image.bytes.size());
    row.width = checked.info->width;
    row.height = checked.info->height;
    row.format = format;
    row.source = image.source;
    row.country = image.country;
    row.visibility = image.visibility;
    row.captured_at = image.captured_at;
    row.added_in = manifest_.generation;
    row.label = image.label;
    ++manifest_.images;
    manifest_.size_bytes += row.size;
    ++manifest_.formats[row.format];
    if (row.label >= 0) {
      ++manifest_.labelled_images;
      classes_.insert(row.label);
    }
    SEER_RETURN_IF_ERROR(writer_->Add(std::move(row)));
    ++shard_images_;
    ++counts_.added;
    return shard_->size_bytes() >= options_.shard_bytes ? CloseShard() : absl::OkStatus();
  }

  absl::Status CloseShard() {
    if (!shard_) return absl::OkStatus();
    SEER_ASSIGN_OR_RETURN(const std::string bytes, shard_->Finish());
    SEER_ASSIGN_OR_RETURN(const std::string name, store_.WriteShard(pool_, bytes));
    manifest_.shards.push_back({name, static_cast<int64_t>(bytes.size()), shard_images_});
    shard_.reset();
    shard_images_ = 0;
    return absl::OkStatus();
  }

  absl::Status Finish() {
    SEER_RETURN_IF_ERROR(CloseShard());
    if (!quarantine_.empty()) {
      std::string sources;
      for (const QuarantinedImage& image : quarantine_)
        absl::StrAppend(&sources, image.source, "\n");
      const std::string name =
          absl::StrFormat("%08d-%s.jsonl", manifest_.generation, Sha256Hex(sources).substr(0, 16));
      SEER_RETURN_IF_ERROR(WriteQuarantine(store_.objects(), pool_, name, quarantine_));
    }
    if (counts_.added == 0) return counts_.present > 0 ? absl::OkStatus() : NothingAccepted();
    manifest_.quarantined += counts_.quarantined;
    manifest_.classes = static_cast<int>(classes_.size());
    SEER_ASSIGN_OR_RETURN(const auto added, writer_->Finish());
    manifest_.files.insert(manifest_.files.end(), added.begin(), added.end());
    SEER_RETURN_IF_ERROR(store_.TakeOver(pool_, parent_, manifest_.generation));
    return store_.Commit(pool_, manifest_);
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
  PoolPolicy policy_;
  Manifest parent_;    // without files: there is none
  Manifest manifest_;  // of the next generation
  std::optional<CatalogueWriter> writer_;
  absl::flat_hash_set<uint64_t> present_;
  std::set<int32_t> classes_;
  std::optional<TarShardBuilder> shard_;
  int64_t shard_images_ = 0;
  std::vector<QuarantinedImage> quarantine_;
  IngestCounts counts_;
};

}  // namespace

absl::StatusOr<IngestCounts> IngestIntoPool(
    PoolStore& store, Clock& clock, const std::string& pool, const IngestOptions& options,
    const std::function<absl::Status(const IngestCounts&)>& progress) {
  return Ingest(store, clock, pool, options).Run(progress);
}

}  // namespace seer::dataservice
