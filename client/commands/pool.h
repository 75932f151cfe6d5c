// Where the files of `seer pool` add their verbs, and what these have in common.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/cli.h"
#include "seer/v1/pools.grpc.pb.h"

namespace seer::client {

void AddPoolOrder(CLI::App& parent, Session& session);
void AddPoolRefresh(CLI::App& parent, Session& session);
void AddPoolGc(CLI::App& parent, Session& session);
void AddPoolTakedown(CLI::App& parent, Session& session);
void AddPoolLook(CLI::App& parent, Session& session);  // stats, verify, sample

// "pools/photos" or "photos" -> "pools/photos", and back.
std::string PoolName(const std::string& pool);
std::string PoolId(const std::string& pool);

// How images are cropped, as --crops, --flip and --interpolation say.
struct CropOptions {
  // "VIEWSxSIZE" or "VIEWSxSIZE:MIN-MAX"; without scales those of SwAV: the first crops are large.
  std::vector<std::string> crops;
  double flip_probability = 0.5;
  v1::Interpolation interpolation = v1::INTERPOLATION_BILINEAR;
};
// `shows`: what --crops is for, the end of its help. `options` must outlive the verb.
void AddCropOptions(CLI::App& verb, CropOptions& options, const std::string& shows);
// INVALID_ARGUMENT names --crops.
absl::StatusOr<std::vector<v1::CropRecipe>> ParseCrops(const CropOptions& options);

// A folder or file of this machine as the data service sees it; a URI stays.
std::string SourcePath(const std::string& source);

// The stream of an ingest or refresh that `start` begins: shows its progress, then the pool.
// `dry_run`: says that nothing was changed. Gives the exit code.
using FillStream = std::unique_ptr<grpc::ClientReader<v1::IngestProgress>>;
int FollowFill(Session& session, const std::string& pool, bool dry_run,
               const std::function<FillStream(v1::Pools::Stub&, grpc::ClientContext&)>& start);

}  // namespace seer::client
