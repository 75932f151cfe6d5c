#include "client/pool_jobs.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "client/paging.h"
#include "common/base/status_macros.h"
#include "seer/v1/checkpoints.grpc.pb.h"
#include "seer/v1/jobs.grpc.pb.h"

namespace seer::client {
namespace {

bool HasEnded(const v1::Job& job) {
  return job.state() == v1::JOB_STATE_SUCCEEDED || job.state() == v1::JOB_STATE_FAILED ||
         job.state() == v1::JOB_STATE_CANCELLED;
}

}  // namespace

absl::StatusOr<PoolJobs> FetchJobs(Session& session) {
  SEER_ASSIGN_OR_RETURN(const auto channel, session.Coordinator());
  PoolJobs all;
  const auto jobs = v1::Jobs::NewStub(channel);
  v1::ListJobsRequest of_jobs;
  of_jobs.set_page_size(1000);
  SEER_ASSIGN_OR_RETURN(
      all.jobs, FetchPages<v1::Job>(session, "the coordinator", *jobs, &v1::Jobs::Stub::ListJobs,
                                    of_jobs, &v1::ListJobsResponse::jobs));
  const auto checkpoints = v1::Checkpoints::NewStub(channel);
  v1::ListCheckpointsRequest of_checkpoints;
  of_checkpoints.set_page_size(1000);
  SEER_ASSIGN_OR_RETURN(
      all.checkpoints,
      FetchPages<v1::Checkpoint>(session, "the coordinator", *checkpoints,
                                 &v1::Checkpoints::Stub::ListCheckpoints, of_checkpoints,
                                 &v1::ListCheckpointsResponse::checkpoints));
  return all;
}

bool IsEvaluation(const v1::Job& job) { return job.spec().kind() == v1::JOB_KIND_EVAL_KNN; }

std::vector<PoolRun> RunsOf(const v1::Job& job, const std::string& pool_id) {
  std::vector<PoolRun> runs;
  const auto& plan = job.data_plan();
  if (IsEvaluation(job)) {
    const std::string pools[] = {job.spec().eval().train_pool(), job.spec().eval().test_pool()};
    for (int i = 0; i < std::min(plan.size(), 2); ++i)
      if (pools[i] == pool_id) runs.push_back({0, 0, plan[i].generation()});
    return runs;
  }
  if (job.spec().data().pool() != pool_id) return runs;
  const int64_t done = std::max(job.progress().step(), job.last_checkpoint_step());
  for (int i = 0; i < plan.size(); ++i) {
    const int64_t end = i + 1 < plan.size() ? plan[i + 1].first_step() : done;
    const int64_t first = plan[i].first_step();
    runs.push_back({first, std::max(first, std::min(end, done)), plan[i].generation()});
  }
  return runs;
}

std::set<int64_t> NeededGenerations(const PoolJobs& jobs, const std::string& pool_id) {
  std::set<int64_t> needed;
  for (const v1::Job& job : jobs.jobs) {
    const bool has_checkpoint = std::any_of(
        jobs.checkpoints.begin(), jobs.checkpoints.end(), [&](const v1::Checkpoint& checkpoint) {
          return absl::StartsWith(checkpoint.name(), absl::StrCat(job.name(), "/"));
        });
    if (HasEnded(job) && !has_checkpoint) continue;
    for (const PoolRun& run : RunsOf(job, pool_id)) needed.insert(run.generation);
  }
  return needed;
}

}  // namespace seer::client
