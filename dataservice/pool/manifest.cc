#include "dataservice/pool/manifest.h"

#include <limits>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "common/base/digest.h"
#include "common/base/error.h"
#include "dataservice/pool/json_time.h"

namespace seer::dataservice {
namespace {

using nlohmann::json;

constexpr int kFirstWithIndex = 2;    // schema version; all of its files lie in its own folder
constexpr int64_t kMaxRowBytes = 64;  // of a row in any file; keeps their sum within 63 bits

json PolicyJson(const PoolPolicy& policy) {
  json out = {{"excluded_countries", policy.excluded_countries},
              {"public_only", policy.public_only},
              {"min_side_pixels", policy.min_side_pixels},
              {"max_side_pixels", policy.max_side_pixels},
              {"max_bytes", policy.max_bytes},
              {"formats", policy.formats},
              {"predicates", policy.predicates}};
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

std::string GenerationKey(const std::string& pool, int64_t generation, const std::string& name) {
  return absl::StrCat(pool, "/generations/", generation, "/", name);
}

std::string CatalogueKey(const std::string& pool, const CatalogueFile& file) {
  return GenerationKey(pool, file.generation, file.catalogue);
}

std::string IndexKey(const std::string& pool, const CatalogueFile& file) {
  return GenerationKey(pool, file.generation, file.index);
}

std::string ToJson(const Manifest& m) {
  json files = json::array();
  for (const CatalogueFile& file : m.files) {
    files.push_back({{"catalogue", file.catalogue},
                     {"index", file.index},
                     {"rows", file.rows},
                     {"generation", file.generation}});
  }
  json shards = json::array();
  for (const ShardInfo& shard : m.shards)
    shards.push_back(
        {{"name", shard.name}, {"size_bytes", shard.size_bytes}, {"images", shard.images}});
  const json out = {{"schema_version", Manifest::kSchemaVersion},
                    {"generation", m.generation},
                    {"parent", m.parent},
                    {"created", TimeText(m.created)},
                    {"request_id", m.request_id},
                    {"ingest", m.ingest},
                    {"files", files},
                    {"images", m.images},
                    {"size_bytes", m.size_bytes},
                    {"labelled_images", m.labelled_images},
                    {"classes", m.classes},
                    {"longest_side", m.longest_side},
                    {"formats", m.formats},
                    {"refused", m.refused},
                    {"quarantined", m.quarantined},
                    {"shards", shards}};
  return out.dump(1) + "\n";
}

std::string ToJson(const PoolInfo& info) {
  const json policy = PolicyJson(info.policy);
  const json out = {{"schema_version", PoolInfo::kSchemaVersion},
                    {"created", TimeText(info.created)},
                    {"policy", policy},
                    {"policy_sha256", Sha256Hex(policy.dump())},
                    {"request_id", info.request_id}};
  return out.dump(1) + "\n";
}

absl::StatusOr<Manifest> ManifestFromJson(const std::string& text, const std::string& where) {
  try {
    Manifest m;
    // A pool may have a hundred thousand shards: each is taken over as soon as it is read, and
    // dropped from the document.
    bool in_shards = false;
    const auto take_shards = [&](int depth, json::parse_event_t event, json& value) {
      if (event == json::parse_event_t::key && depth == 1) in_shards = value == "shards";
      if (!in_shards || event != json::parse_event_t::object_end || depth != 2) return true;
      m.shards.push_back({value.at("name"), value.at("size_bytes"), value.at("images")});
      return false;
    };
    const json in = json::parse(text, take_shards);
    const int version = in.at("schema_version").get<int>();
    if (version > Manifest::kSchemaVersion) {
      return Error(absl::StatusCode::kDataLoss, reason::kPoolCorrupt,
                   absl::StrCat(where, " is of format ", version, ", this program reads up to ",
                                Manifest::kSchemaVersion))
          .Hint("a newer version of seer wrote it: read the pool with that version");
    }
    if (version < kFirstWithIndex) {
      return Error(absl::StatusCode::kDataLoss, reason::kPoolCorrupt,
                   absl::StrCat(where, " is of format ", version, ", which has no index"))
          .Hint("make the pool anew: ingest its sources into a new pool");
    }
    m.generation = in.at("generation");
    m.parent = in.at("parent");
    m.created = ReadTime(in.at("created"));
    m.request_id = in.at("request_id");
    m.ingest = in.value("ingest", "");
    m.images = in.at("images");
    m.size_bytes = in.at("size_bytes");
    m.labelled_images = in.at("labelled_images");
    m.classes = in.at("classes");
    m.longest_side = in.value("longest_side", 0);
    m.formats = in.at("formats").get<std::map<std::string, int64_t>>();
    m.refused = in.at("refused").get<std::map<std::string, int64_t>>();
    m.quarantined = in.at("quarantined");
    if (!in.at("shards").is_array() || !in.at("shards").empty())
      return Corrupt(where, "its shards are not a list of objects");
    int64_t rows = 0;
    for (const json& file : in.at("files")) {
      m.files.push_back({file.at("catalogue"), file.at("index"), file.at("rows"),
                         file.value("generation", m.generation)});
      const int64_t folder = m.files.back().generation;
      if (folder < 1 || folder > m.generation) {
        return Corrupt(where, absl::StrCat("file ", m.files.back().catalogue,
                                           " lies in the folder of generation ", folder));
      }
      const int64_t most = std::numeric_limits<int64_t>::max() / kMaxRowBytes;
      if (m.files.back().rows < 1 || m.files.back().rows > most - rows)
        return Corrupt(where, absl::StrCat("file ", m.files.back().catalogue, " has ",
                                           m.files.back().rows, " rows"));
      rows += m.files.back().rows;
    }
    if (rows != m.images) {
      return Corrupt(where, absl::StrCat("its files have ", rows, " rows, not one for each of its ",
                                         m.images, " images"));
    }
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
    info.policy.max_side_pixels = policy.value("max_side_pixels", 0);
    info.policy.max_bytes = policy.value("max_bytes", int64_t{0});
    info.policy.formats = policy.value("formats", std::vector<std::string>());
    info.policy.predicates = policy.value("predicates", std::vector<std::string>());
    if (policy.contains("max_age_seconds"))
      info.policy.max_age = absl::Seconds(policy.at("max_age_seconds").get<int64_t>());
    info.request_id = in.value("request_id", "");
    return info;
  } catch (const std::exception& error) {
    return Corrupt(where, error.what());
  }
}

}  // namespace seer::dataservice
