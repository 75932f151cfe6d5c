#include "dataservice/ingest_once.h"

#include <cstdio>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/process.h"
#include "common/base/rate_meter.h"
#include "common/base/status_macros.h"
#include "common/objectstore/open_store.h"
#include "dataservice/pool/pool_store.h"

namespace seer::dataservice {
namespace {

constexpr absl::Duration kTellEvery = absl::Seconds(10);

}  // namespace

absl::Status IngestOnce(const OnceConfig& config) {
  Clock& clock = Clock::Real();
  SEER_ASSIGN_OR_RETURN(const auto objects, OpenStore(config.pools));
  PoolStore store(*objects, clock);
  const std::string pool(absl::StripPrefix(config.pool, "pools/"));
  RateMeter rate;
  absl::Duration told = clock.Steady();
  const auto progress = [&](const IngestCounts& counts) -> absl::Status {
    if (TerminationAsked())
      return absl::CancelledError("interrupted: the same command goes on from what is staged");
    const absl::Duration now = clock.Steady();
    rate.Add(now, counts.seen);
    if (now - told < kTellEvery) return absl::OkStatus();
    told = now;
    const int64_t left = counts.total > 0 ? counts.total - counts.seen : 0;
    LogInfo(
        "ingesting",
        {{"pool", pool},
         {"seen", counts.seen},
         {"total", counts.total},
         {"per_second", rate.PerSecond()},
         {"eta_seconds", rate.PerSecond() > 0 ? static_cast<double>(left) / rate.PerSecond() : 0}});
    return absl::OkStatus();
  };
  SEER_ASSIGN_OR_RETURN(const IngestCounts counts,
                        IngestIntoPool(store, clock, pool, config.ingest, progress));
  std::string text = absl::StrCat(counts.seen, " images seen, ", counts.added, " added, ",
                                  counts.quarantined, " quarantined, ", counts.refused,
                                  " refused, ", counts.staged, " staged before; ");
  if (counts.parts_missing > 0) {
    absl::StrAppend(&text, "part ", config.ingest.part.number, " of ", config.ingest.part.of,
                    " is staged, parts that are still to come: ", counts.parts_missing);
  } else {
    SEER_ASSIGN_OR_RETURN(const int64_t generation, store.Current(pool));
    SEER_ASSIGN_OR_RETURN(const Manifest manifest, store.ReadManifest(pool, generation));
    absl::StrAppend(&text, "pool ", pool, " has ", manifest.images, " images in generation ",
                    generation);
  }
  std::printf("%s\n", text.c_str());
  return absl::OkStatus();
}

}  // namespace seer::dataservice
