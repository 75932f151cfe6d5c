// All that sources of an ingest hold.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/status_macros.h"
#include "dataservice/ingest/sources.h"

namespace seer::testing {

// Images in the order in which an ingest takes them, read unit by unit; the first error ends it.
inline absl::StatusOr<std::vector<dataservice::SourceImage>> ReadAll(
    const std::vector<std::string>& paths, const dataservice::SourceOptions& options = {},
    int64_t unit_bytes = int64_t{1} << 40) {
  SEER_ASSIGN_OR_RETURN(const auto list, dataservice::SourceList::Create(paths, options));
  std::vector<dataservice::SourceImage> images;
  for (const dataservice::SourceUnit& unit : list.Cut(unit_bytes)) {
    SEER_ASSIGN_OR_RETURN(const auto source, list.Open(unit, options.downloads));
    while (true) {
      SEER_ASSIGN_OR_RETURN(auto image, source->Next());
      if (!image) break;
      images.push_back(std::move(*image));
    }
  }
  return images;
}

}  // namespace seer::testing
