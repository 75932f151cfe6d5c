// Which images a pool refuses, by rule. Pure.
#pragma once

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "dataservice/ingest/sources.h"
#include "dataservice/pool/manifest.h"

namespace seer::dataservice {

// The rule that refuses the image ("not_public", "country", "unknown_country", "too_old",
// "unknown_age", "too_small"), or "". What a rule asks about and nobody knows counts as refused.
absl::string_view RefusingRule(const PoolPolicy& policy, const SourceImage& image, int width,
                               int height, absl::Time now);

}  // namespace seer::dataservice
