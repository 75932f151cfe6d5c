#include "dataservice/pool/manifest.h"

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "common/base/digest.h"
#include "common/base/error.h"

namespace seer::dataservice {
namespace {

using nlohmann::json;

std::string TimeText(absl::Time time) {
  return absl::FormatTime(absl::RFC3339_full, time, absl::UTCTimeZone());
}

absl::Time ReadTime(const std::string& text) {
  absl::Time time;
  std::string error;
  if (!absl::ParseTime(absl::RFC3339_full, text, &time, &error))
    throw std::invalid_argument("time " + text + ": " + error);
  return time;
}

json PolicyJson(const PoolPolicy& policy) {
  json out = {{"excluded_countries", policy.excluded_countries},
              {"public_only", policy.public_only},
              {"min_side_pixels", policy.min_side_pixels}};
  if (policy.max_age != absl::InfiniteDuration())
    out["max_age_seconds"] = absl::ToInt64Seconds(policy.max_age);
  return out;
}

absl::Status Corrupt(const std::string& where, const std::string& why) {
  return Error(absl::StatusCode::kDataLoss, reason::kPoolCorrupt,
               absl::StrCat(where, " cannot be read: ", why))
      .Hint("restore the file from a copy of the pool, or ingest into a new pool");
}

}  // namespace

std::string ToJson(const Manifest& m) {
  json shards = json::array();
  for (const ShardInfo& shard : m.shards)
    shards.push_back(
        {{"name", shard.name}, {"size_bytes", shard.size_bytes}, {"images", shard.images}});
  const json out = {{"schema_version", Manifest::kSchemaVersion},
                    {"generation", m.generation},
                    {"parent", m.parent},
                    {"created", TimeText(m.created)},
                    {"request_id", m.request_id},
                    {"catalogue_files", m.catalogue_files},
                    {"images", m.images},
                    {"size_bytes", m.size_bytes},
                    {"labelled_images", m.labelled_images},
                    {"classes", m.classes},
                    {"formats", m.formats},
                    {"refused", m.refused},
                    {"quarantined", m.quarantined},
                    {"shards", shards}};
  return out.dump(1) + "\n";
}

std::string ToJson(const PoolInfo& info) {
  const json policy = PolicyJson(info.policy);
  const json out = {{"schema_version", Manifest::kSchemaVersion},
                    {"created", TimeText(info.created)},
                    {"policy", policy},
                    {"policy_sha256", Sha256Hex(policy.dump())},
                    {"request_id", info.request_id}};
  return out.dump(1) + "\n";
}

absl::StatusOr<Manifest> ManifestFromJson(const std::string& text, const std::string& where) {
  try {
    const json in = json::parse(text);
    if (in.at("schema_version").get<int>() > Manifest::kSchemaVersion)
      return Corrupt(where, "it was written by a newer version");
    Manifest m;
    m.generation = in.at("generation");
    m.parent = in.at("parent");
    m.created = ReadTime(in.at("created"));
    m.request_id = in.at("request_id");
    m.catalogue_files = in.at("catalogue_files").get<std::vector<std::string>>();
    m.images = in.at("images");
    m.size_bytes = in.at("size_bytes");
    m.labelled_images = in.at("labelled_images");
    m.classes = in.at("classes");
    m.formats = in.at("formats").get<std::map<std::string, int64_t>>();
    m.refused = in.at("refused").get<std::map<std::string, int64_t>>();
    m.quarantined = in.at("quarantined");
    for (const json& shard : in.at("shards"))
      m.shards.push_back({shard.at("name"), shard.at("size_bytes"), shard.at("images")});
    return m;
  } catch (const std::exception& error) {
    return Corrupt(where, error.what());
  }
}

absl::StatusOr<PoolInfo> PoolInfoFromJson(const std::string& text, const std::string& where) {
  try {
    const json in = json::parse(text);
    PoolInfo info;
    info.created = ReadTime(in.at("created"));
    const json& policy = in.at("policy");
    info.policy.excluded_countries =
        policy.at("excluded_countries").get<std::vector<std::string>>();
    info.policy.public_only = policy.at("public_only");
    info.policy.min_side_pixels = policy.at("min_side_pixels");
    if (policy.contains("max_age_seconds"))
      info.policy.max_age = absl::Seconds(policy.at("max_age_seconds").get<int64_t>());
    info.request_id = in.value("request_id", "");
    return info;
  } catch (const std::exception& error) {
    return Corrupt(where, error.what());
  }
}

}  // namespace seer::dataservice
