#include "dataservice/ingest/policy.h"

#include <algorithm>
#include <array>

#include "absl/strings/match.h"

namespace seer::dataservice {
namespace {

// The EU's 27 members and the EEA's three others.
constexpr std::array<absl::string_view, 30> kEuropeanEconomicArea = {
    "AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GR", "HR", "HU", "IE",
    "IS", "IT", "LI", "LT", "LU", "LV", "MT", "NL", "NO", "PL", "PT", "RO", "SE", "SI", "SK"};

bool Excludes(absl::string_view rule, absl::string_view country) {
  if (!absl::EqualsIgnoreCase(rule, "EU")) return absl::EqualsIgnoreCase(rule, country);
  return std::any_of(
      kEuropeanEconomicArea.begin(), kEuropeanEconomicArea.end(),
      [&](absl::string_view member) { return absl::EqualsIgnoreCase(member, country); });
}

}  // namespace

absl::string_view RefusingRule(const PoolPolicy& policy, const SourceImage& image, int width,
                               int height, absl::Time now) {
  if (policy.public_only && !absl::EqualsIgnoreCase(image.visibility, "public"))
    return "not_public";
  if (!policy.excluded_countries.empty()) {
    if (image.country.empty()) return "unknown_country";
    for (const std::string& country : policy.excluded_countries)
      if (Excludes(country, image.country)) return "country";
  }
  if (policy.max_age != absl::InfiniteDuration()) {
    if (!image.captured_at) return "unknown_age";
    if (now - *image.captured_at > policy.max_age) return "too_old";
  }
  if (std::min(width, height) < policy.min_side_pixels) return "too_small";
  return "";
}

}  // namespace seer::dataservice
