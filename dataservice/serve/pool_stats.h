// What is in a generation, by its catalogue: formats, sizes, ages, countries, duplicates. Memory is
// bounded by the rows that are read, whatever the generation has. Thread-safe.
#pragma once

#include <cstdint>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/base/object_store.h"
#include "dataservice/pool/manifest.h"
#include "seer/v1/pool_inspection.pb.h"

namespace seer::dataservice {

inline constexpr int64_t kDefaultStatsRows = int64_t{1} << 22;
inline constexpr int64_t kMostStatsRows = int64_t{1} << 26;  // 16 bytes each are kept

// Reads at least `rows` rows (1 to kMostStatsRows) or all, in row groups that `seed` chooses.
// `now`: that ages count from. DATA_LOSS with POOL_CORRUPT; CANCELLED: `cancelled` said so.
absl::StatusOr<v1::PoolStats> ReadPoolStats(ObjectStore& objects, const std::string& pool,
                                            const Manifest& manifest, int64_t rows, uint64_t seed,
                                            absl::Time now, absl::FunctionRef<bool()> cancelled);

}  // namespace seer::dataservice
