// Which jobs read a pool, and which of its generations they need, as the coordinator knows.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "client/cli.h"
#include "seer/v1/checkpoints.pb.h"
#include "seer/v1/jobs.pb.h"

namespace seer::client {

struct PoolJobs {
  std::vector<v1::Job> jobs;                // of all pools
  std::vector<v1::Checkpoint> checkpoints;  // of all jobs
};

// The coordinator's errors.
absl::StatusOr<PoolJobs> FetchJobs(Session& session);

// A run of a job's steps that reads one generation of the pool.
struct PoolRun {
  int64_t first_step = 0;
  int64_t end_step = 0;  // exclusive: steps that are done; of an evaluation 0
  int64_t generation = 0;
};
bool IsEvaluation(const v1::Job& job);
// By first step; those that have not begun are there, and empty.
std::vector<PoolRun> RunsOf(const v1::Job& job, const std::string& pool_id);

// Generations of the pool that a job which has not ended, or one with a checkpoint, reads.
std::set<int64_t> NeededGenerations(const PoolJobs& jobs, const std::string& pool_id);

}  // namespace seer::client
