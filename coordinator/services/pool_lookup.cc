#include "coordinator/services/pool_lookup.h"

#include <grpcpp/grpcpp.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/rpc/channel.h"
#include "common/rpc/status_grpc.h"
#include "seer/v1/pools.grpc.pb.h"

namespace seer::coordinator {
namespace {

class GrpcPoolLookup final : public PoolLookup {
 public:
  GrpcPoolLookup(const std::vector<std::string>& addresses,
                 const std::shared_ptr<const ClientSecurity>& security)
      : what_(absl::StrCat("the data service at ", absl::StrJoin(addresses, ", "))),
        known_(!addresses.empty()),
        stub_(v1::Pools::NewStub(MakeChannel(addresses, security))) {}

  absl::StatusOr<PoolInfo> Get(const std::string& pool,
                               std::optional<int64_t> generation) override {
    if (!known_) {
      return Error(absl::StatusCode::kUnavailable, reason::kServiceUnreachable,
                   "the coordinator knows no data service")
          .Hint("start it with --dataservice HOST:PORT");
    }
    v1::GetPoolRequest request;
    request.set_name(absl::StrCat("pools/", pool));
    if (generation) request.set_generation(*generation);
    v1::Pool found;
    RetryOptions options;
    options.attempts = 4;
    options.deadline = absl::Seconds(5);
    SEER_RETURN_IF_ERROR(CallWithRetry(options, what_, [&](grpc::ClientContext& context) {
      return FromGrpc(stub_->GetPool(&context, request, &found));
    }));
    return PoolInfo{found.generation(), found.images(), found.labelled_images()};
  }

 private:
  const std::string what_;
  const bool known_;
  const std::unique_ptr<v1::Pools::Stub> stub_;
};

}  // namespace

std::unique_ptr<PoolLookup> MakePoolLookup(const std::vector<std::string>& dataservice_addresses,
                                           const std::shared_ptr<const ClientSecurity>& security) {
  return std::make_unique<GrpcPoolLookup>(dataservice_addresses, security);
}

absl::StatusOr<PoolInfo> FakePoolLookup::Get(const std::string& pool,
                                             std::optional<int64_t> generation) {
  const auto it = pools_.find(pool);
  if (it == pools_.end()) {
    return Error(absl::StatusCode::kNotFound, reason::kPoolNotFound,
                 absl::StrCat("no pool '", pool, "'"))
        .Hint("`seer pool list` shows the pools");
  }
  if (generation && *generation > it->second.generation) {
    return Error(absl::StatusCode::kNotFound, reason::kGenerationNotFound,
                 absl::StrCat("pool '", pool, "' has no generation ", *generation));
  }
  PoolInfo info = it->second;
  if (generation) info.generation = *generation;
  return info;
}

}  // namespace seer::coordinator
