#include "dataservice/ingest/unit.h"

#include <atomic>
#include <cstring>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/digest.h"
#include "common/base/error.h"
#include "common/base/philox.h"
#include "common/base/status_macros.h"
#include "common/base/thread.h"
#include "common/base/utf8.h"
#include "dataservice/decode/decoder.h"
#include "dataservice/pool/tar_shard.h"

namespace seer::dataservice {
namespace {

constexpr size_t kBlockImages = 512;  // read, then checked in parallel

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
  for (int i = 1; i < threads; ++i) workers.emplace_back("ingest-check", work);
  work();
}

class Unit {
 public:
  explicit Unit(const UnitContext& context) : context_(context) {}

  absl::StatusOr<UnitResult> Make(ImageSource& source,
                                  absl::FunctionRef<absl::Status(const IngestCounts&)> report) {
    for (bool more = true; more;) {
      std::vector<Checked> block;
      SEER_ASSIGN_OR_RETURN(more, ReadBlock(source, block));
      CheckAll(block, context_.threads);
      for (Checked& checked : block) SEER_RETURN_IF_ERROR(Take(checked));
      if (!more) SEER_RETURN_IF_ERROR(CloseShard());
      if (context_.keep_alive) SEER_RETURN_IF_ERROR(context_.keep_alive());
      SEER_RETURN_IF_ERROR(report(fresh_));
      result_.counts += std::exchange(fresh_, {});
    }
    return std::move(result_);
  }

 private:
  // False: the source has come to its end.
  absl::StatusOr<bool> ReadBlock(ImageSource& source, std::vector<Checked>& block) {
    int64_t bytes = 0;
    while (block.size() < kBlockImages && bytes < context_.block_bytes) {
      SEER_ASSIGN_OR_RETURN(auto image, source.Next());
      if (!image) return false;
      // A file's name may have any bytes; the catalogue, which others read, is UTF-8.
      if (ValidUtf8Length(image->source) != image->source.size())
        image->source = ToValidUtf8(image->source);
      bytes += static_cast<int64_t>(image->bytes.size());
      block.push_back({std::move(*image)});
    }
    return true;
  }

  absl::Status Take(const Checked& checked) {
    const SourceImage& image = checked.image;
    ++fresh_.seen;
    fresh_.bytes_read += static_cast<int64_t>(image.bytes.size());
    if (!checked.info.ok()) {
      const auto detail = GetErrorDetail(checked.info.status());
      result_.quarantined.push_back({image.source,
                                     detail ? detail->reason : std::string(reason::kImageCorrupt),
                                     std::string(checked.info.status().message()), context_.now});
      ++fresh_.quarantined;
      return absl::OkStatus();
    }
    if (context_.present->contains(RowKey(checked.id, image.source))) {
      ++fresh_.present;
      return absl::OkStatus();
    }
    CatalogueRow row = RowOf(checked);
    const std::string rule = context_.takedowns->Contains(row.id)
                                 ? std::string("taken_down")
                                 : context_.policy->Refusing(row, context_.now);
    if (rule.empty()) return Add(checked, std::move(row));
    ++fresh_.refused;
    ++fresh_.refused_by_rule[rule];
    if (++refused_by_rule_[rule] <= RefusedImage::kMostOfARule)
      result_.refused.push_back({image.source, rule, context_.now});
    return absl::OkStatus();
  }

  // All of the row but where its bytes lie.
  static CatalogueRow RowOf(const Checked& checked) {
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
    row.label = image.label;
    return row;
  }

  absl::Status Add(const Checked& checked, CatalogueRow row) {
    if (!shard_) shard_.emplace();
    row.shard = static_cast<int32_t>(result_.shards.size());
    // The count keeps the names of equal images apart.
    const std::string key = absl::StrCat(IdHex(row.id), "-", shard_images_);
    SEER_ASSIGN_OR_RETURN(
        row.offset, shard_->Add(absl::StrCat(key, ".", row.format == "jpeg" ? "jpg" : row.format),
                                checked.image.bytes));
    if (row.label >= 0)
      SEER_RETURN_IF_ERROR(shard_->Add(key + ".cls", absl::StrCat(row.label)).status());
    if (!context_.dry_run) result_.rows.push_back(std::move(row));
    ++shard_images_;
    ++fresh_.added;
    return shard_->size_bytes() >= context_.shard_bytes ? CloseShard() : absl::OkStatus();
  }

  absl::Status CloseShard() {
    if (!shard_) return absl::OkStatus();
    SEER_ASSIGN_OR_RETURN(const std::string bytes, shard_->Finish());
    std::string name;
    if (!context_.dry_run) {
      if (context_.keep_alive) SEER_RETURN_IF_ERROR(context_.keep_alive());
      SEER_ASSIGN_OR_RETURN(name, context_.store->WriteShard(context_.pool, bytes));
    }
    result_.shards.push_back({name, static_cast<int64_t>(bytes.size()), shard_images_});
    shard_.reset();
    shard_images_ = 0;
    return absl::OkStatus();
  }

  const UnitContext& context_;
  UnitResult result_;
  IngestCounts fresh_;  // not reported yet
  std::map<std::string, int64_t> refused_by_rule_;
  std::optional<TarShardBuilder> shard_;
  int64_t shard_images_ = 0;
};

}  // namespace

uint64_t RowKey(const ImageId& id, absl::string_view source) {
  uint64_t bytes;
  std::memcpy(&bytes, id.data(), sizeof(bytes));
  return bytes ^ StableHash(source);
}

absl::StatusOr<UnitResult> MakeUnit(ImageSource& source, const UnitContext& context,
                                    absl::FunctionRef<absl::Status(const IngestCounts&)> report) {
  return Unit(context).Make(source, report);
}

}  // namespace seer::dataservice
