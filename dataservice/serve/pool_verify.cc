#include "dataservice/serve/pool_verify.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/base/digest.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "dataservice/order/sample_order.h"
#include "dataservice/pool/catalogue.h"
#include "dataservice/pool/pool_store.h"

namespace seer::dataservice {
namespace {

constexpr int64_t kReadBytes = int64_t{8} << 20;
constexpr int kFindingsAMessage = 100;
constexpr int64_t kSampleChunk = int64_t{1} << 16;  // samples that are sorted at a time
constexpr absl::Duration kReportInterval = absl::Seconds(1);

// A shard that is read from its first byte on, hashed as a whole and by image.
class ShardReader {
 public:
  ShardReader(ObjectStore& objects, std::string key, int64_t size)
      : objects_(objects), key_(std::move(key)), size_(size) {}

  int64_t at() const { return at_; }
  int64_t size() const { return size_; }

  // Goes on to byte `to`, also into `image`. False: the shard ends before it.
  absl::StatusOr<bool> Advance(int64_t to, Sha256Stream* image) {
    while (at_ < to) {
      if (rest_.empty()) {
        SEER_ASSIGN_OR_RETURN(buffer_, objects_.GetRange(key_, at_, kReadBytes));
        rest_ = buffer_;
        if (rest_.empty()) return false;
      }
      const auto count = std::min(rest_.size(), static_cast<size_t>(to - at_));
      shard_.Update(rest_.substr(0, count));
      if (image != nullptr) image->Update(rest_.substr(0, count));
      rest_.remove_prefix(count);
      at_ += static_cast<int64_t>(count);
    }
    return true;
  }
  Sha256Digest Finish() { return shard_.Finish(); }

 private:
  ObjectStore& objects_;
  const std::string key_;
  const int64_t size_;
  int64_t at_ = 0;
  std::string buffer_;
  absl::string_view rest_;  // of buffer_, from at_ on
  Sha256Stream shard_;
};

class Verifier {
 public:
  using Report = absl::FunctionRef<absl::Status(const v1::VerifyPoolProgress&)>;

  Verifier(ObjectStore& objects, Clock& clock, const std::string& pool,
           const Generation& generation, const TakedownSet& takedowns, const VerifyOptions& options,
           Report report)
      : objects_(objects),
        clock_(clock),
        pool_(pool),
        generation_(generation),
        takedowns_(takedowns),
        options_(options),
        report_(report),
        seen_(generation.manifest().shards.size(), false),
        missing_(seen_.size(), false) {}

  absl::Status Run() {
    const absl::Status status = options_.sample ? RunSample() : RunAll();
    // Stopping at the limit of findings is the one status that is no error.
    if (!status.ok() && !stopped_) return status;
    progress_.set_done(true);
    progress_.set_stopped_early(stopped_);
    return Send();
  }

 private:
  const std::vector<ShardInfo>& shards() const { return generation_.manifest().shards; }
  std::string KeyOf(size_t shard) const {
    return ShardKey(pool_, takedowns_.ShardNow(shards()[shard].name));
  }

  absl::Status Send() {
    sent_at_ = clock_.Steady();
    const absl::Status status = report_(progress_);
    progress_.clear_findings();
    return status;
  }
  absl::Status SendIfDue() {
    if (progress_.findings_size() < kFindingsAMessage &&
        clock_.Steady() - sent_at_ < kReportInterval) {
      return absl::OkStatus();
    }
    return Send();
  }

  // Not OK: this is as many as were asked for.
  absl::Status Add(v1::FindingKind kind, size_t shard, const std::string& message,
                   const ImageLocation* image = nullptr, int64_t row = 0,
                   const std::string& source = "") {
    v1::PoolFinding& finding = *progress_.add_findings();
    finding.set_kind(kind);
    finding.set_shard(shards()[shard].name);
    finding.set_message(message);
    if (image != nullptr) {
      finding.set_row(row);
      finding.set_image_id(IdHex(image->id));
      finding.set_source(source);
    }
    progress_.set_findings_count(progress_.findings_count() + 1);
    stopped_ = progress_.findings_count() >= options_.max_findings;
    return stopped_ ? absl::CancelledError("enough was found") : absl::OkStatus();
  }

  // The shard's size, after the first look at it; nullopt: it is missing.
  absl::StatusOr<std::optional<int64_t>> Look(size_t shard) {
    if (missing_[shard]) return std::optional<int64_t>();
    const auto info = objects_.Stat(KeyOf(shard));
    if (HasReason(info.status(), reason::kObjectNotFound)) {
      missing_[shard] = true;
      SEER_RETURN_IF_ERROR(Add(v1::FINDING_KIND_SHARD_MISSING, shard,
                               absl::StrCat("no object ", KeyOf(shard), "; its ",
                                            shards()[shard].images, " images are lost")));
      return std::optional<int64_t>();
    }
    SEER_RETURN_IF_ERROR(info.status());
    if (!seen_[shard] && info->size_bytes != shards()[shard].size_bytes) {
      SEER_RETURN_IF_ERROR(Add(
          v1::FINDING_KIND_SHARD_SIZE, shard,
          absl::StrCat("it has ", info->size_bytes, " bytes, not ", shards()[shard].size_bytes)));
    }
    return std::optional<int64_t>(info->size_bytes);
  }

  absl::Status Open(size_t shard) {
    open_ = shard;
    SEER_ASSIGN_OR_RETURN(const auto size, Look(shard));
    if (size) reader_.emplace(objects_, KeyOf(shard), *size);
    return absl::OkStatus();
  }

  // Reads the open shard to its end, and compares its hash with its name.
  absl::Status Close() {
    if (!open_) return absl::OkStatus();
    const size_t shard = *std::exchange(open_, std::nullopt);
    seen_[shard] = true;
    if (!reader_) return absl::OkStatus();
    SEER_RETURN_IF_ERROR(reader_->Advance(reader_->size(), nullptr).status());
    const Sha256Digest digest = reader_->Finish();
    progress_.set_bytes_read(progress_.bytes_read() + reader_->at());
    reader_.reset();
    progress_.set_shards_checked(progress_.shards_checked() + 1);
    const std::string hash = ToHex({reinterpret_cast<const char*>(digest.data()), digest.size()});
    const std::string& now = takedowns_.ShardNow(shards()[shard].name);
    if (hash != absl::StripSuffix(now, ".tar")) {
      SEER_RETURN_IF_ERROR(
          Add(v1::FINDING_KIND_SHARD_HASH, shard, absl::StrCat("the hash of its bytes is ", hash)));
    }
    return SendIfDue();
  }

  absl::Status Image(int64_t row, const ImageLocation& image, const std::string& source) {
    const auto shard = static_cast<size_t>(image.shard);
    if (!options_.sample && open_ != shard) {
      SEER_RETURN_IF_ERROR(Close());
      if (!seen_[shard]) SEER_RETURN_IF_ERROR(Open(shard));
    }
    progress_.set_images_checked(progress_.images_checked() + 1);
    if (missing_[shard] || takedowns_.Contains(image.id)) return SendIfDue();
    if (options_.sample && !seen_[shard]) {
      SEER_RETURN_IF_ERROR(Look(shard).status());
      seen_[shard] = true;
      if (missing_[shard]) return SendIfDue();
    }
    // Rows of a shard ascend as they were written; others are read by themselves.
    const bool in_order = reader_ && open_ == shard && image.offset >= reader_->at();
    SEER_ASSIGN_OR_RETURN(const auto digest,
                          in_order ? Read(*reader_, image) : ReadAlone(shard, image));
    if (!digest) {
      SEER_RETURN_IF_ERROR(
          Add(v1::FINDING_KIND_IMAGE_CUT_OFF, shard,
              absl::StrCat("the shard ends before byte ", image.offset + image.size), &image, row,
              source));
    } else if (*digest != image.id) {
      SEER_RETURN_IF_ERROR(Add(v1::FINDING_KIND_IMAGE_HASH, shard,
                               absl::StrCat("the ", image.size, " bytes at ", image.offset,
                                            " are not those that were ingested"),
                               &image, row, source));
    }
    return SendIfDue();
  }

  // Nullopt: the shard ends before the image does.
  static absl::StatusOr<std::optional<Sha256Digest>> Read(ShardReader& reader,
                                                          const ImageLocation& image) {
    Sha256Stream hash;
    SEER_ASSIGN_OR_RETURN(bool whole, reader.Advance(image.offset, nullptr));
    if (whole) {
      SEER_ASSIGN_OR_RETURN(whole, reader.Advance(image.offset + image.size, &hash));
    }
    return whole ? std::optional<Sha256Digest>(hash.Finish()) : std::nullopt;
  }
  absl::StatusOr<std::optional<Sha256Digest>> ReadAlone(size_t shard, const ImageLocation& image) {
    Sha256Stream hash;
    for (int64_t done = 0; done < image.size;) {
      SEER_ASSIGN_OR_RETURN(const std::string part,
                            objects_.GetRange(KeyOf(shard), image.offset + done,
                                              std::min(kReadBytes, image.size - done)));
      if (part.empty()) return std::optional<Sha256Digest>();
      hash.Update(part);
      done += static_cast<int64_t>(part.size());
      progress_.set_bytes_read(progress_.bytes_read() + static_cast<int64_t>(part.size()));
    }
    return std::optional<Sha256Digest>(hash.Finish());
  }

  absl::Status RunAll() {
    const Manifest& manifest = generation_.manifest();
    progress_.set_images_total(manifest.images);
    progress_.set_shards_total(std::count_if(shards().begin(), shards().end(),
                                             [](const ShardInfo& s) { return s.images > 0; }));
    SEER_RETURN_IF_ERROR(Send());
    int64_t row = 0;
    std::vector<ImageLocation> block;  // of the index, from row - row % kIndexBlockRows
    const auto check = [&](const CatalogueRow& listed) -> absl::Status {
      const int64_t place = row % kIndexBlockRows;
      if (place == 0 || block.empty()) {
        SEER_ASSIGN_OR_RETURN(
            block, generation_.Locations(row - place,
                                         std::min(kIndexBlockRows, manifest.images - row + place)));
      }
      const ImageLocation& indexed = block[static_cast<size_t>(place)];
      if (indexed != listed.location()) {
        SEER_RETURN_IF_ERROR(Add(v1::FINDING_KIND_INDEX, static_cast<size_t>(indexed.shard),
                                 "the catalogue has another place, size or label for it", &indexed,
                                 row, listed.source));
      }
      SEER_RETURN_IF_ERROR(Image(row, indexed, listed.source));
      ++row;
      return absl::OkStatus();
    };
    for (const CatalogueFile& file : manifest.files) {
      const std::string key = CatalogueKey(pool_, file);
      const int64_t end = row + file.rows;
      const auto bounded = [&](const CatalogueRow& listed) {
        return row < end ? check(listed) : OtherRows(key, file.rows);
      };
      SEER_RETURN_IF_ERROR(ForEachRow(objects_, key, bounded));
      if (row != end) return OtherRows(key, file.rows);
    }
    SEER_RETURN_IF_ERROR(Close());
    for (size_t shard = 0; shard < seen_.size(); ++shard) {
      if (seen_[shard] || shards()[shard].images == 0) continue;
      SEER_RETURN_IF_ERROR(Open(shard));
      SEER_RETURN_IF_ERROR(Close());
    }
    return absl::OkStatus();
  }

  static absl::Status OtherRows(const std::string& key, int64_t rows) {
    return Error(absl::StatusCode::kDataLoss, reason::kPoolCorrupt,
                 absl::StrCat(key, " has not the ", rows, " rows that the manifest says"))
        .Hint("restore the file from a copy of the pool, or ingest into a new pool");
  }

  absl::Status RunSample() {
    const Manifest& manifest = generation_.manifest();
    const int64_t count = std::min(*options_.sample, manifest.images);
    progress_.set_images_total(count);
    SEER_RETURN_IF_ERROR(Send());
    SEER_ASSIGN_OR_RETURN(const SampleOrder order,
                          SampleOrder::Create(manifest.generation, manifest.images, options_.seed,
                                              OrderKind::kShuffled));
    for (int64_t first = 0; first < count; first += kSampleChunk) {
      std::vector<int64_t> rows;
      for (int64_t i = first; i < std::min(count, first + kSampleChunk); ++i)
        rows.push_back(order.RowOf(i));
      std::sort(rows.begin(), rows.end());
      for (const int64_t row : rows) {
        SEER_ASSIGN_OR_RETURN(const auto found, generation_.Locations(row, 1));
        SEER_RETURN_IF_ERROR(Image(row, found.front(), ""));
      }
    }
    return absl::OkStatus();
  }

  ObjectStore& objects_;
  Clock& clock_;
  const std::string& pool_;
  const Generation& generation_;
  const TakedownSet& takedowns_;
  const VerifyOptions& options_;
  const Report report_;
  v1::VerifyPoolProgress progress_;
  absl::Duration sent_at_ = -absl::InfiniteDuration();
  std::vector<bool> seen_, missing_;   // shards
  std::optional<size_t> open_;         // the shard that is read
  std::optional<ShardReader> reader_;  // of it; none: it is missing
  bool stopped_ = false;               // max_findings was reached
};

}  // namespace

absl::Status VerifyGeneration(
    ObjectStore& objects, Clock& clock, const std::string& pool, const Generation& generation,
    const TakedownSet& takedowns, const VerifyOptions& options,
    absl::FunctionRef<absl::Status(const v1::VerifyPoolProgress&)> report) {
  return Verifier(objects, clock, pool, generation, takedowns, options, report).Run();
}

}  // namespace seer::dataservice
