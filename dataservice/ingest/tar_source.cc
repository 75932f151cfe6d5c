#include "dataservice/ingest/tar_source.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "dataservice/ingest/file_source.h"
#include "dataservice/pool/tar_shard.h"

namespace seer::dataservice {
namespace {

// What a shard may say about an image, beside it.
bool IsSideName(const std::string& name) {
  return absl::EndsWith(name, ".cls") || absl::EndsWith(name, ".json");
}

// Groups members "<key>.<extension>" that follow each other, as webdataset does.
class TarSource final : public ImageSource {
 public:
  TarSource(std::string name, std::unique_ptr<TarReader> reader, int64_t max_bytes)
      : name_(std::move(name)), reader_(std::move(reader)), max_bytes_(max_bytes) {}

  absl::StatusOr<std::optional<SourceImage>> Next() override {
    std::optional<SourceImage> image;
    std::string key;
    while (true) {
      if (!pending_) {
        TarReader::Member member;
        const auto more = reader_->Next(member, max_bytes_);
        if (!more.ok()) return WithContext(more.status(), name_);
        if (!*more) return image;
        pending_ = std::move(member);
      }
      const std::string member_key = KeyOf(pending_->name);
      if (image && member_key != key) return image;
      if (member_key != side_key_) {
        side_key_ = member_key;
        side_.clear();
      }
      TarReader::Member member = std::move(*pending_);
      pending_.reset();
      if (IsImageName(member.name) && !image) {
        image.emplace();
        image->source = absl::StrCat(name_, "#", member.name);
        image->bytes = std::move(member.bytes);
        key = member_key;
        for (const auto& [name, bytes] : side_) Annotate(name, bytes, *image);
      } else if (image) {
        Annotate(member.name, member.bytes, *image);
      } else if (IsSideName(member.name)) {
        side_.emplace_back(member.name, member.bytes);  // came before its image
      }
    }
  }

 private:
  // Up to the first dot of the last part of the name.
  static std::string KeyOf(const std::string& name) {
    const size_t slash = name.rfind('/');
    return name.substr(0, name.find('.', slash == std::string::npos ? 0 : slash + 1));
  }

  static void Annotate(const std::string& name, const std::string& bytes, SourceImage& image) {
    if (absl::EndsWith(name, ".cls")) {
      int32_t label;
      if (absl::SimpleAtoi(absl::StripAsciiWhitespace(bytes), &label)) image.label = label;
    } else if (absl::EndsWith(name, ".json")) {
      const auto json = nlohmann::json::parse(bytes, nullptr, /*allow_exceptions=*/false);
      if (!json.is_object()) return;
      if (json.contains("label") && json["label"].is_number_integer()) image.label = json["label"];
      if (json.contains("country") && json["country"].is_string()) image.country = json["country"];
      if (json.contains("visibility") && json["visibility"].is_string())
        image.visibility = json["visibility"];
      absl::Time time;
      if (json.contains("captured_at") && json["captured_at"].is_string() &&
          absl::ParseTime(absl::RFC3339_full, json["captured_at"].get<std::string>(), &time,
                          nullptr)) {
        image.captured_at = time;
      }
    }
  }

  const std::string name_;
  const std::unique_ptr<TarReader> reader_;
  const int64_t max_bytes_;
  std::optional<TarReader::Member> pending_;
  std::string side_key_;
  std::vector<std::pair<std::string, std::string>> side_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<ImageSource>> OpenTarSource(const std::string& path,
                                                           const std::string& name,
                                                           const SourceOptions& options) {
  auto reader = TarReader::Open(path);
  if (!reader.ok()) return WithContext(reader.status(), name);
  return std::make_unique<TarSource>(name, std::move(*reader), options.max_bytes);
}

}  // namespace seer::dataservice
