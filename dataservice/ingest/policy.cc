#include "dataservice/ingest/policy.h"

#include <algorithm>
#include <array>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "dataservice/decode/decoder.h"

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

absl::Status Bad(const std::string& field, const std::string& why, const std::string& hint) {
  return Error(absl::StatusCode::kInvalidArgument, reason::kOutOfRange,
               absl::StrCat(field, ": ", why))
      .Field(field)
      .Hint(hint);
}

}  // namespace

absl::StatusOr<PolicyRules> PolicyRules::Create(PoolPolicy policy) {
  if (policy.max_age <= absl::ZeroDuration())
    return Bad("policy.max_age", "is not above 0", "a duration such as 90 days");
  for (const std::string& country : policy.excluded_countries) {
    if (country.size() != 2) {
      return Bad("policy.excluded_countries",
                 absl::StrCat("'", country, "' is not a two-letter code"),
                 "ISO 3166 codes such as DE, or EU for all of the EU and EEA");
    }
  }
  if (policy.max_side_pixels != 0 && policy.max_side_pixels < policy.min_side_pixels) {
    return Bad("policy.max_side_pixels",
               absl::StrCat(policy.max_side_pixels, " is below the least side of ",
                            policy.min_side_pixels),
               "0 for no limit, or pixels of the longer side");
  }
  if (policy.max_bytes < 0)
    return Bad("policy.max_bytes", "is negative", "0 for no limit, or bytes of the image file");
  const std::vector<absl::string_view> formats = FormatNames();
  for (const std::string& format : policy.formats) {
    if (std::find(formats.begin(), formats.end(), format) == formats.end())
      return Bad("policy.formats", absl::StrCat("'", format, "' is no format that a pool takes"),
                 absl::StrCat("one of ", absl::StrJoin(formats, ", ")));
  }
  std::vector<Predicate> predicates;
  for (const std::string& text : policy.predicates) {
    SEER_ASSIGN_OR_RETURN(predicates.emplace_back(), Predicate::Parse(text));
  }
  return PolicyRules(std::move(policy), std::move(predicates));
}

std::string PolicyRules::Refusing(const CatalogueRow& row, absl::Time now) const {
  if (policy_.public_only && row.visibility.empty()) return "unknown_visibility";
  if (policy_.public_only && !absl::EqualsIgnoreCase(row.visibility, "public")) return "not_public";
  if (!policy_.excluded_countries.empty()) {
    if (row.country.empty()) return "unknown_country";
    for (const std::string& country : policy_.excluded_countries)
      if (Excludes(country, row.country)) return "country";
  }
  if (const std::string age = OutsideWindow(policy_.max_age, row.captured_at, now); !age.empty())
    return age;
  if (std::min(row.width, row.height) < policy_.min_side_pixels) return "too_small";
  if (policy_.max_side_pixels > 0 && std::max(row.width, row.height) > policy_.max_side_pixels)
    return "too_large";
  if (policy_.max_bytes > 0 && row.size > policy_.max_bytes) return "too_many_bytes";
  if (!policy_.formats.empty() && std::find(policy_.formats.begin(), policy_.formats.end(),
                                            row.format) == policy_.formats.end()) {
    return "format";
  }
  for (const Predicate& predicate : predicates_) {
    const std::optional<bool> holds = predicate.Holds(row);
    if (!holds) return absl::StrCat("unknown_", predicate.column());
    if (!*holds) return predicate.text();
  }
  return "";
}

std::string OutsideWindow(absl::Duration max_age, std::optional<absl::Time> captured_at,
                          absl::Time now) {
  if (max_age == absl::InfiniteDuration()) return "";
  if (!captured_at) return "unknown_age";
  return now - *captured_at > max_age ? "too_old" : "";
}

}  // namespace seer::dataservice
