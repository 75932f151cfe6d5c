#include "dataservice/pool/takedowns.h"

#include <nlohmann/json.hpp>
#include <stdexcept>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/base/digest.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "dataservice/pool/json_time.h"

namespace seer::dataservice {

using nlohmann::json;

std::string TakedownName(absl::Time created, const std::vector<ImageId>& ids) {
  Sha256Stream hash;
  for (const ImageId& id : ids) hash.Update(IdHex(id));
  const Sha256Digest digest = hash.Finish();
  return absl::StrCat(absl::FormatTime("%Y%m%dT%H%M%SZ", created, absl::UTCTimeZone()), "-",
                      IdHex(digest).substr(0, 16));
}

std::string TakedownKey(const std::string& pool, const std::string& name) {
  return absl::StrCat(pool, "/takedowns/", name, ".json");
}

std::string ToJson(const TakedownRecord& record) {
  json out = {{"ids", json::array()},
              {"reason", record.reason},
              {"created", TimeText(record.created)},
              {"generation", record.generation},
              {"shards", record.shards}};
  for (const ImageId& id : record.ids) out["ids"].push_back(IdHex(id));
  if (record.done()) out["finished"] = TimeText(record.finished);
  return out.dump(1, ' ', false, json::error_handler_t::replace) + "\n";
}

absl::StatusOr<TakedownRecord> TakedownFromJson(const std::string& text, const std::string& where) {
  TakedownRecord record;
  try {
    const json in = json::parse(text);
    for (const json& id : in.at("ids")) {
      const auto parsed = ParseImageId(id.get<std::string>());
      if (!parsed.ok()) throw std::invalid_argument(std::string(parsed.status().message()));
      record.ids.push_back(*parsed);
    }
    record.reason = in.at("reason");
    record.created = ReadTime(in.at("created"));
    record.generation = in.at("generation");
    record.shards = in.at("shards").get<std::map<std::string, std::string>>();
    if (in.contains("finished")) record.finished = ReadTime(in.at("finished"));
    return record;
  } catch (const std::exception& error) {
    return Error(absl::StatusCode::kDataLoss, reason::kPoolCorrupt,
                 absl::StrCat(where, " cannot be read: ", error.what()))
        .Hint("restore the file from a copy of the pool");
  }
}

absl::StatusOr<std::vector<TakedownRecord>> ReadTakedowns(ObjectStore& objects,
                                                          const std::string& pool) {
  const std::string folder = absl::StrCat(pool, "/takedowns/");
  SEER_ASSIGN_OR_RETURN(const auto files, objects.List(folder));
  std::vector<TakedownRecord> records;
  for (const ObjectInfo& file : files) {
    if (!absl::EndsWith(file.key, ".json")) continue;
    SEER_ASSIGN_OR_RETURN(const std::string text, objects.Get(file.key));
    SEER_ASSIGN_OR_RETURN(records.emplace_back(), TakedownFromJson(text, file.key));
    records.back().name =
        std::string(absl::StripSuffix(absl::StripPrefix(file.key, folder), ".json"));
  }
  return records;
}

TakedownSet::TakedownSet(const std::vector<TakedownRecord>& records) {
  for (const TakedownRecord& record : records) {
    ids_.insert(record.ids.begin(), record.ids.end());
    for (const auto& [before, after] : record.shards)
      if (before != after) shards_[before] = after;
  }
}

const std::string& TakedownSet::ShardNow(const std::string& shard) const {
  // A shard that was wiped twice is found in two steps. Wiping only ever adds zeros, so that the
  // steps end; a damaged record that goes round is left after as many steps as there are.
  const std::string* name = &shard;
  for (size_t step = 0; step <= shards_.size(); ++step) {
    const auto next = shards_.find(*name);
    if (next == shards_.end()) break;
    name = &next->second;
  }
  return *name;
}

}  // namespace seer::dataservice
