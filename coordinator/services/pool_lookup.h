// What the coordinator asks the data service about pools when a job is made.
// Thread-safe; calls block.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace seer {
class ClientSecurity;
}

namespace seer::coordinator {

struct PoolInfo {
  int64_t generation = 0;  // 0: nothing was ingested yet
  int64_t images = 0;
  int64_t labelled_images = 0;
};

class PoolLookup {
 public:
  virtual ~PoolLookup() = default;
  // `generation`: default the newest. NOT_FOUND with POOL_NOT_FOUND or GENERATION_NOT_FOUND;
  // UNAVAILABLE with SERVICE_UNREACHABLE.
  virtual absl::StatusOr<PoolInfo> Get(const std::string& pool,
                                       std::optional<int64_t> generation) = 0;
};

// At the data service's replicas, any of them; `security` as MakeChannel.
std::unique_ptr<PoolLookup> MakePoolLookup(
    const std::vector<std::string>& dataservice_addresses,
    const std::shared_ptr<const ClientSecurity>& security = nullptr);

// Knows what it was told.
class FakePoolLookup final : public PoolLookup {
 public:
  explicit FakePoolLookup(std::map<std::string, PoolInfo> pools) : pools_(std::move(pools)) {}
  absl::StatusOr<PoolInfo> Get(const std::string& pool, std::optional<int64_t> generation) override;

 private:
  const std::map<std::string, PoolInfo> pools_;
};

}  // namespace seer::coordinator
