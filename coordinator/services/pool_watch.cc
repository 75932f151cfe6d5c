#include "coordinator/services/pool_watch.h"

#include <optional>
#include <set>
#include <string>

#include "common/base/error.h"
#include "common/base/log.h"

namespace seer::coordinator {

void PoolWatch::AskOnce() {
  std::set<std::string> followed;
  const absl::Status read = runner_.Read([&](const Core& core, Store&) {
    followed = core.FollowedPools();
    return absl::OkStatus();
  });
  if (!read.ok()) return;  // the store is away: the next round asks again
  for (const std::string& pool : followed) {
    const auto info = pools_.Get(pool, std::nullopt);
    if (info.ok()) {
      runner_.Post(command::PoolGeneration{pool, info->generation});
    } else {
      LogWarn("followed_pool_unknown", {{"pool", pool}, {"status", StatusText(info.status())}});
    }
  }
}

}  // namespace seer::coordinator
