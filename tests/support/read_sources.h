// All that sources of an ingest hold.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/status_macros.h"
#include "dataservice/ingest/sources.h"

namespace seer::testing {

// Images in the order in which an ingest takes them; the first error ends it.
inline absl::StatusOr<std::vector<dataservice::SourceImage>> ReadAll(
    const std::vector<std::string>& paths, const dataservice::SourceOptions& options = {}) {
  SEER_ASSIGN_OR_RETURN(const auto source, dataservice::OpenSources(paths, options));
  std::vector<dataservice::SourceImage> images;
  while (true) {
    SEER_ASSIGN_OR_RETURN(auto image, source->Next());
    if (!image) return images;
    images.push_back(std::move(*image));
  }
}

}  // namespace seer::testing
