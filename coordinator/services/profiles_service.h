// seer.v1.Profiles: protos to commands and back.
// Thread-safe; calls block a thread of the server's pool.
#pragma once

#include <string>

#include "coordinator/services/change_feed.h"
#include "coordinator/services/core_runner.h"
#include "seer/v1/profiles.grpc.pb.h"

namespace seer::coordinator {

class ProfilesService final : public v1::Profiles::Service {
 public:
  // Both must outlive the service.
  ProfilesService(CoreRunner& runner, ChangeFeed& feed) : runner_(runner), feed_(feed) {}

  grpc::Status CreateProfile(grpc::ServerContext*, const v1::CreateProfileRequest*,
                             v1::Profile*) override;
  grpc::Status WatchProfile(grpc::ServerContext*, const v1::WatchProfileRequest*,
                            grpc::ServerWriter<v1::WatchProfileResponse>*) override;

 private:
  absl::Status Create(const v1::CreateProfileRequest& request, v1::Profile& out);
  absl::Status Watch(grpc::ServerContext& context, const std::string& name,
                     grpc::ServerWriter<v1::WatchProfileResponse>& writer);

  CoreRunner& runner_;
  ChangeFeed& feed_;
};

}  // namespace seer::coordinator
