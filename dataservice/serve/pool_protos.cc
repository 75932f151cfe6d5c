#include "dataservice/serve/pool_protos.h"

#include <algorithm>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "dataservice/ingest/policy.h"

namespace seer::dataservice {

void SetTime(absl::Time time, google::protobuf::Timestamp& proto) {
  const int64_t nanos = absl::ToUnixNanos(time);
  proto.set_seconds(nanos / 1'000'000'000);
  proto.set_nanos(static_cast<int32_t>(nanos % 1'000'000'000));
}

absl::StatusOr<PoolPolicy> PolicyFromProto(const v1::PoolPolicy& proto) {
  PoolPolicy policy;
  if (proto.has_max_age()) policy.max_age = absl::Seconds(proto.max_age().seconds());
  policy.excluded_countries.assign(proto.excluded_countries().begin(),
                                   proto.excluded_countries().end());
  policy.public_only = proto.public_only();
  policy.min_side_pixels = std::max(1, proto.min_side_pixels());
  policy.max_side_pixels = proto.max_side_pixels();
  policy.max_bytes = proto.max_bytes();
  policy.formats.assign(proto.formats().begin(), proto.formats().end());
  policy.predicates.assign(proto.predicates().begin(), proto.predicates().end());
  SEER_RETURN_IF_ERROR(PolicyRules::Create(policy).status());
  return policy;
}

void PolicyToProto(const PoolPolicy& policy, v1::PoolPolicy& proto) {
  if (policy.max_age != absl::InfiniteDuration())
    proto.mutable_max_age()->set_seconds(absl::ToInt64Seconds(policy.max_age));
  proto.mutable_excluded_countries()->Assign(policy.excluded_countries.begin(),
                                             policy.excluded_countries.end());
  proto.set_public_only(policy.public_only);
  proto.set_min_side_pixels(policy.min_side_pixels);
  proto.set_max_side_pixels(policy.max_side_pixels);
  proto.set_max_bytes(policy.max_bytes);
  proto.mutable_formats()->Assign(policy.formats.begin(), policy.formats.end());
  proto.mutable_predicates()->Assign(policy.predicates.begin(), policy.predicates.end());
}

absl::Status NoGeneration(const std::string& pool, int64_t generation) {
  return Error(absl::StatusCode::kNotFound, reason::kGenerationNotFound,
               absl::StrCat("pool ", pool, " has no generation ", generation))
      .Hint("generations count from 1");
}

absl::StatusOr<Page> PageOf(const std::string& token, int size, int default_size, size_t items) {
  Page page;
  if (!token.empty() && (!absl::SimpleAtoi(token, &page.begin) || page.begin > items)) {
    return Error(absl::StatusCode::kInvalidArgument, reason::kInvalidPageToken,
                 "the page token is not one that this call gave")
        .Field("page_token")
        .Hint("start again without a page token");
  }
  page.end = std::min(
      items, page.begin + static_cast<size_t>(size > 0 ? std::min(size, 1000) : default_size));
  return page;
}

}  // namespace seer::dataservice
