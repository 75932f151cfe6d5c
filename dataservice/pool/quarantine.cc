#include "dataservice/pool/quarantine.h"

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"

namespace seer::dataservice {

using nlohmann::json;

absl::Status WriteQuarantine(ObjectStore& store, const std::string& pool, const std::string& name,
                             const std::vector<QuarantinedImage>& images) {
  std::string lines;
  for (const QuarantinedImage& image : images) {
    const json line = {{"source", image.source},
                       {"reason", image.reason},
                       {"message", image.message},
                       {"time_us", absl::ToUnixMicros(image.time)}};
    // File names need not be UTF-8.
    absl::StrAppend(&lines, line.dump(-1, ' ', false, json::error_handler_t::replace), "\n");
  }
  return store.Put(absl::StrCat(pool, "/quarantine/", name), lines);
}

absl::StatusOr<std::vector<QuarantinedImage>> ReadQuarantine(ObjectStore& store,
                                                             const std::string& pool) {
  SEER_ASSIGN_OR_RETURN(const auto files, store.List(absl::StrCat(pool, "/quarantine/")));
  std::vector<QuarantinedImage> images;
  for (const ObjectInfo& file : files) {
    SEER_ASSIGN_OR_RETURN(const std::string lines, store.Get(file.key));
    for (absl::string_view line : absl::StrSplit(lines, '\n', absl::SkipEmpty())) {
      try {
        const json in = json::parse(line.begin(), line.end());
        images.push_back({in.at("source"), in.at("reason"), in.at("message"),
                          absl::FromUnixMicros(in.at("time_us").get<int64_t>())});
      } catch (const std::exception& error) {
        return Error(absl::StatusCode::kDataLoss, reason::kPoolCorrupt,
                     absl::StrCat(file.key, " cannot be read: ", error.what()));
      }
    }
  }
  return images;
}

}  // namespace seer::dataservice
