#include "dataservice/pool/quarantine.h"

#include <nlohmann/json.hpp>

#include "absl/functional/function_ref.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"

namespace seer::dataservice {
namespace {

using nlohmann::json;

void AddLine(const json& line, std::string& lines) {
  // File names need not be UTF-8.
  absl::StrAppend(&lines, line.dump(-1, ' ', false, json::error_handler_t::replace), "\n");
}

// Calls `take` with each line of all files in the folder; it throws at what it cannot read.
absl::Status ForEachLine(ObjectStore& store, const std::string& folder,
                         absl::FunctionRef<void(const json&)> take) {
  SEER_ASSIGN_OR_RETURN(const auto files, store.List(folder));
  for (const ObjectInfo& file : files) {
    SEER_ASSIGN_OR_RETURN(const std::string lines, store.Get(file.key));
    for (absl::string_view line : absl::StrSplit(lines, '\n', absl::SkipEmpty())) {
      try {
        take(json::parse(line.begin(), line.end()));
      } catch (const std::exception& error) {
        return Error(absl::StatusCode::kDataLoss, reason::kPoolCorrupt,
                     absl::StrCat(file.key, " cannot be read: ", error.what()));
      }
    }
  }
  return absl::OkStatus();
}

absl::Time TimeOf(const json& line) {
  return absl::FromUnixMicros(line.at("time_us").get<int64_t>());
}

}  // namespace

absl::Status WriteQuarantine(ObjectStore& store, const std::string& pool, const std::string& name,
                             const std::vector<QuarantinedImage>& images) {
  std::string lines;
  for (const QuarantinedImage& image : images) {
    AddLine({{"source", image.source},
             {"reason", image.reason},
             {"message", image.message},
             {"time_us", absl::ToUnixMicros(image.time)}},
            lines);
  }
  return store.Put(absl::StrCat(pool, "/quarantine/", name), lines);
}

absl::StatusOr<std::vector<QuarantinedImage>> ReadQuarantine(ObjectStore& store,
                                                             const std::string& pool) {
  std::vector<QuarantinedImage> images;
  SEER_RETURN_IF_ERROR(
      ForEachLine(store, absl::StrCat(pool, "/quarantine/"), [&](const json& line) {
        images.push_back({line.at("source"), line.at("reason"), line.at("message"), TimeOf(line)});
      }));
  return images;
}

absl::Status WriteRefused(ObjectStore& store, const std::string& pool, const std::string& name,
                          const std::vector<RefusedImage>& images) {
  std::string lines;
  for (const RefusedImage& image : images) {
    AddLine({{"source", image.source},
             {"rule", image.rule},
             {"time_us", absl::ToUnixMicros(image.time)}},
            lines);
  }
  return store.Put(absl::StrCat(pool, "/refused/", name), lines);
}

absl::StatusOr<std::vector<RefusedImage>> ReadRefused(ObjectStore& store, const std::string& pool) {
  std::vector<RefusedImage> images;
  SEER_RETURN_IF_ERROR(ForEachLine(store, absl::StrCat(pool, "/refused/"), [&](const json& line) {
    images.push_back({line.at("source"), line.at("rule"), TimeOf(line)});
  }));
  return images;
}

}  // namespace seer::dataservice
