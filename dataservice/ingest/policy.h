// Which images a pool refuses, by rule. Immutable, hence thread-safe.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "dataservice/ingest/predicate.h"
#include "dataservice/pool/catalogue.h"
#include "dataservice/pool/manifest.h"

namespace seer::dataservice {

class PolicyRules {
 public:
  // INVALID_ARGUMENT with the field ("policy.…"): a part of the policy makes no sense.
  static absl::StatusOr<PolicyRules> Create(PoolPolicy policy);

  // The rule that refuses the image, or "": "not_public", "country", "too_old", "too_small",
  // "too_large" (pixels), "too_many_bytes", "format", "unknown_<column>" for what a rule asks about
  // and nobody knows, or the text of a condition that does not hold. Of `row` what the image itself
  // and its source say has to be set.
  std::string Refusing(const CatalogueRow& row, absl::Time now) const;

 private:
  PolicyRules(PoolPolicy policy, std::vector<Predicate> predicates)
      : policy_(std::move(policy)), predicates_(std::move(predicates)) {}

  PoolPolicy policy_;
  std::vector<Predicate> predicates_;
};

// "too_old" or "unknown_age" if an image that was captured then is outside of the window, else "".
std::string OutsideWindow(absl::Duration max_age, std::optional<absl::Time> captured_at,
                          absl::Time now);

}  // namespace seer::dataservice
