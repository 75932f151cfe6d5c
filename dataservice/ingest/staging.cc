#include "dataservice/ingest/staging.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"

namespace seer::dataservice {
namespace {

using nlohmann::json;

constexpr absl::string_view kUnitSuffix = ".json";
constexpr absl::string_view kRowsSuffix = ".parquet";

std::string StagingKey(const std::string& pool, const std::string& key, absl::string_view name) {
  return absl::StrCat(StagingFolder(pool), key, "/", name);
}

// All but the rows.
std::string ToJson(const UnitResult& unit) {
  json shards = json::array(), quarantined = json::array(), refused = json::array();
  for (const ShardInfo& shard : unit.shards)
    shards.push_back({shard.name, shard.size_bytes, shard.images});
  for (const QuarantinedImage& image : unit.quarantined)
    quarantined.push_back(
        {image.source, image.reason, image.message, absl::ToUnixMicros(image.time)});
  for (const RefusedImage& image : unit.refused)
    refused.push_back({image.source, image.rule, absl::ToUnixMicros(image.time)});
  const IngestCounts& counts = unit.counts;
  const json out = {{"parent", unit.parent},
                    {"seen", counts.seen},
                    {"added", counts.added},
                    {"present", counts.present},
                    {"refused_by_rule", counts.refused_by_rule},
                    {"shards", shards},
                    {"quarantined", quarantined},
                    {"refused", refused}};
  return out.dump(-1, ' ', false, json::error_handler_t::replace);
}

std::optional<UnitResult> UnitFromJson(const std::string& text) {
  try {
    const json in = json::parse(text);
    UnitResult unit;
    unit.parent = in.at("parent");
    unit.counts.seen = in.at("seen");
    unit.counts.added = in.at("added");
    unit.counts.present = in.at("present");
    unit.counts.refused_by_rule = in.at("refused_by_rule").get<std::map<std::string, int64_t>>();
    for (const auto& [rule, count] : unit.counts.refused_by_rule) unit.counts.refused += count;
    for (const json& shard : in.at("shards"))
      unit.shards.push_back({shard.at(0), shard.at(1), shard.at(2)});
    const auto time = [](const json& micros) {
      return absl::FromUnixMicros(micros.get<int64_t>());
    };
    for (const json& image : in.at("quarantined"))
      unit.quarantined.push_back({image.at(0), image.at(1), image.at(2), time(image.at(3))});
    for (const json& image : in.at("refused"))
      unit.refused.push_back({image.at(0), image.at(1), time(image.at(2))});
    unit.counts.quarantined = static_cast<int64_t>(unit.quarantined.size());
    return unit;
  } catch (const std::exception&) {
    return std::nullopt;
  }
}

// Nullopt: it is not there, or cannot be read. `name` is its key without kUnitSuffix.
absl::StatusOr<std::optional<UnitResult>> ReadUnit(ObjectStore& objects, const std::string& name) {
  const auto text = objects.Get(absl::StrCat(name, kUnitSuffix));
  if (text.status().code() == absl::StatusCode::kNotFound) return std::optional<UnitResult>();
  SEER_RETURN_IF_ERROR(text.status());
  std::optional<UnitResult> unit = UnitFromJson(*text);
  if (!unit || unit->counts.added == 0) return unit;
  const auto shards = static_cast<int32_t>(unit->shards.size());
  bool sound = true;
  const absl::Status read =
      ForEachRow(objects, absl::StrCat(name, kRowsSuffix), [&](CatalogueRow row) {
        sound = sound && row.shard >= 0 && row.shard < shards;
        unit->rows.push_back(std::move(row));
        return absl::OkStatus();
      });
  if (HasReason(read, reason::kPoolCorrupt) || absl::IsNotFound(read))
    sound = false;
  else
    SEER_RETURN_IF_ERROR(read);
  sound = sound && static_cast<int64_t>(unit->rows.size()) == unit->counts.added;
  return sound ? unit : std::optional<UnitResult>();
}

}  // namespace

Staging::Staging(PoolStore& store, Clock& clock, std::string pool, std::string key)
    : store_(store),
      clock_(clock),
      pool_(std::move(pool)),
      key_(std::move(key)),
      opened_(clock.Now()) {}

absl::StatusOr<std::unique_ptr<Staging>> Staging::Open(PoolStore& store, Clock& clock,
                                                       const std::string& pool,
                                                       const std::string& key) {
  std::unique_ptr<Staging> staging(new Staging(store, clock, pool, key));
  SEER_ASSIGN_OR_RETURN(const auto ingests, StagedIngests(store, pool));
  for (const StagedIngest& ingest : ingests) {
    if (ingest.key == key && ingest.modified < clock.Now() - kLife / 2)
      SEER_RETURN_IF_ERROR(staging->Remove());
  }
  const std::string begun = StagingKey(pool, key, "begun");
  const absl::Status first =
      store.objects().PutIfAbsent(begun, absl::StrCat(absl::ToUnixMicros(staging->opened_), "\n"));
  if (first.code() != absl::StatusCode::kAlreadyExists) SEER_RETURN_IF_ERROR(first);
  SEER_ASSIGN_OR_RETURN(const std::string text, store.objects().Get(begun));
  int64_t micros = 0;
  if (!absl::SimpleAtoi(text, &micros)) {
    return Error(absl::StatusCode::kDataLoss, reason::kPoolCorrupt,
                 absl::StrCat(begun, " holds no time"))
        .Hint("delete the folder that it lies in: the ingest then starts anew");
  }
  staging->begun_ = absl::FromUnixMicros(micros);
  return staging;
}

absl::StatusOr<absl::flat_hash_set<std::string>> Staging::Units() const {
  const std::string folder = StagingKey(pool_, key_, "");
  SEER_ASSIGN_OR_RETURN(const auto objects, store_.objects().List(folder));
  absl::flat_hash_set<std::string> units;
  for (const ObjectInfo& object : objects) {
    absl::string_view name = absl::StripPrefix(object.key, folder);
    if (absl::ConsumeSuffix(&name, kUnitSuffix)) units.insert(std::string(name));
  }
  return units;
}

absl::StatusOr<std::optional<UnitResult>> Staging::Read(const std::string& unit) const {
  return ReadUnit(store_.objects(), StagingKey(pool_, key_, unit));
}

absl::Status Staging::Write(const std::string& unit, const UnitResult& result) {
  const std::string name = StagingKey(pool_, key_, unit);
  if (!result.rows.empty()) {
    ParquetBuilder builder;
    for (const CatalogueRow& row : result.rows) SEER_RETURN_IF_ERROR(builder.Add(row));
    SEER_ASSIGN_OR_RETURN(const std::string rows, builder.Finish());
    SEER_RETURN_IF_ERROR(store_.objects().Put(absl::StrCat(name, kRowsSuffix), rows));
  }
  return store_.objects().Put(absl::StrCat(name, kUnitSuffix), ToJson(result));
}

absl::Status Staging::KeepAlive() {
  {
    absl::MutexLock lock(&mu_);
    if (marked_ && clock_.Steady() - *marked_ < PoolStore::kShardGrace / 6) return absl::OkStatus();
    marked_ = clock_.Steady();
  }
  return store_.MarkWriter(pool_, key_, opened_);
}

absl::Status Staging::Remove() {
  SEER_ASSIGN_OR_RETURN(const auto objects, store_.objects().List(StagingKey(pool_, key_, "")));
  for (const ObjectInfo& object : objects)
    SEER_RETURN_IF_ERROR(store_.objects().Delete(object.key));
  return absl::OkStatus();
}

absl::StatusOr<std::vector<StagedIngest>> StagedIngests(PoolStore& store, const std::string& pool) {
  const std::string root = StagingFolder(pool);
  SEER_ASSIGN_OR_RETURN(const auto objects, store.objects().List(root));
  std::vector<StagedIngest> ingests;
  for (const ObjectInfo& object : objects) {
    const absl::string_view path = absl::StripPrefix(object.key, root);
    const absl::string_view key = path.substr(0, path.find('/'));
    if (ingests.empty() || ingests.back().key != key) ingests.push_back({std::string(key), {}});
    ingests.back().objects.push_back(object.key);
    ingests.back().size_bytes += object.size_bytes;
    ingests.back().modified = std::max(ingests.back().modified, object.modified);
  }
  return ingests;
}

absl::Status DeleteStaged(PoolStore& store, const StagedIngest& ingest) {
  for (const std::string& key : ingest.objects) SEER_RETURN_IF_ERROR(store.objects().Delete(key));
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> StagedShards(PoolStore& store, const StagedIngest& ingest,
                                                      const TakedownSet& takedowns) {
  std::vector<std::string> shards;
  for (absl::string_view name : ingest.objects) {
    if (!absl::ConsumeSuffix(&name, kUnitSuffix)) continue;
    SEER_ASSIGN_OR_RETURN(const auto unit, ReadUnit(store.objects(), std::string(name)));
    if (!unit || std::any_of(unit->rows.begin(), unit->rows.end(),
                             [&](const CatalogueRow& row) { return takedowns.Contains(row.id); })) {
      continue;
    }
    for (const ShardInfo& shard : unit->shards) shards.push_back(shard.name);
  }
  return shards;
}

}  // namespace seer::dataservice
