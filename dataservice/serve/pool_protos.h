// What the calls about pools have in common: times, pages and policies between proto and plain
// data. Pure.
#pragma once

#include <cstddef>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "dataservice/pool/manifest.h"
#include "seer/v1/pools.pb.h"

namespace seer::dataservice {

void SetTime(absl::Time time, google::protobuf::Timestamp& proto);

// INVALID_ARGUMENT with the field: a part of it makes no sense.
absl::StatusOr<PoolPolicy> PolicyFromProto(const v1::PoolPolicy& proto);
void PolicyToProto(const PoolPolicy& policy, v1::PoolPolicy& proto);

absl::Status NoGeneration(const std::string& pool, int64_t generation);

// Page tokens are the offset of the page's first item.
struct Page {
  size_t begin = 0, end = 0;
};
// INVALID_ARGUMENT with INVALID_PAGE_TOKEN.
absl::StatusOr<Page> PageOf(const std::string& token, int size, int default_size, size_t items);

}  // namespace seer::dataservice
