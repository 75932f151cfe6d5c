// Makes jobs of specs, and changes them: the one way to a job, of CreateJob as of schedules and
// sweeps. Thread-safe; calls block, as they ask the data service.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "coordinator/services/core_runner.h"
#include "coordinator/services/pool_lookup.h"
#include "seer/v1/jobs.pb.h"

namespace seer::coordinator {

// What made a job, if no client did.
struct JobOrigin {
  std::string sweep = {};     // its name
  int trial = 0;              // of the sweep
  std::string schedule = {};  // its name
};

class JobMaker {
 public:
  // Both must outlive this.
  JobMaker(CoreRunner& runner, PoolLookup& pools) : runner_(runner), pools_(pools) {}

  // The spec with defaults, checked. Errors as seer.v1.Jobs.CreateJob about the spec and its
  // checkpoint.
  absl::StatusOr<v1::JobSpec> Complete(const v1::JobSpec& spec);
  // What the core is to be told; looks the spec's pools up. Errors as Complete, and about pools.
  absl::StatusOr<command::CreateJob> Prepare(const v1::JobSpec& spec,
                                             const std::string& request_id);
  // The id of the job: of one that was made before with this request id, if it is not empty.
  // Errors as CreateJob.
  absl::StatusOr<std::string> Make(const v1::JobSpec& spec, const std::string& request_id,
                                   const JobOrigin& origin = {});
  // The id of the job. Errors as seer.v1.Jobs.UpdateJob.
  absl::StatusOr<std::string> Update(const v1::UpdateJobRequest& request);

 private:
  // Masked URLs become those of the newest job of the spec's name. INVALID_ARGUMENT: it has none.
  absl::Status RestoreSecretsOf(v1::JobSpec& spec);
  // Names of jobs become "jobs/{id}".
  absl::Status ResolveChain(v1::JobSpec& spec);
  absl::Status TakeModelOfCheckpoint(v1::JobSpec& spec);
  // Of a job that starts from a checkpoint: its full name and model.
  absl::Status TakeStart(v1::JobSpec& spec);
  // Looks the spec's pools up; sets what the spec leaves to their sizes.
  absl::StatusOr<std::vector<PlanEntry>> PlanFor(v1::JobSpec& spec);

  CoreRunner& runner_;
  PoolLookup& pools_;
};

}  // namespace seer::coordinator
