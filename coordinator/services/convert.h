// Core's values as protobuf messages, and back. No decisions. Thread-safe: pure functions.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "coordinator/core/core.h"
#include "seer/internal/v1/agent.pb.h"
#include "seer/internal/v1/trainer.pb.h"
#include "seer/v1/checkpoints.pb.h"
#include "seer/v1/events.pb.h"
#include "seer/v1/jobs.pb.h"
#include "seer/v1/profiles.pb.h"
#include "seer/v1/queues.pb.h"
#include "seer/v1/workers.pb.h"

namespace seer::coordinator {

void SetTime(absl::Time time, google::protobuf::Timestamp* out);
absl::Time FromProto(const google::protobuf::Timestamp& time);
void SetDuration(absl::Duration duration, google::protobuf::Duration* out);
absl::Duration FromProto(const google::protobuf::Duration& duration);

v1::Job ToProto(const Job& job, const Core& core, Moment now);
v1::Progress ToProto(const Progress& progress, int64_t total_steps);
v1::Checkpoint ToProto(const Checkpoint& checkpoint, const RetentionDecision& retention,
                       const std::string& storage_uri);
v1::Worker ToProto(const Worker& worker, const Core& core);
v1::Wait ToProto(const Wait& wait, const Job& job, const Core& core);
v1::Queue ToProto(const Queue& queue, const Core& core);
v1::Event ToProto(const Event& event);
v1::Profile ToProto(const Profile& profile, const Core& core);

int64_t SizeBytes(const Checkpoint& checkpoint);  // of all files
// "jobs/<job>/checkpoints/<step>".
std::string CheckpointName(const CheckpointKey& key);
// The folder of a checkpoint below the storage's root, without '/' at its end.
std::string CheckpointKeyPrefix(const std::string& job, int64_t step);
std::string CheckpointUri(const std::string& storage_uri, const std::string& job, int64_t step);

// The numbers of a spec (defaults filled in) that the core decides by. An evaluation's checkpoint,
// and one that a job starts from, is "jobs/<id>/checkpoints/<step>" or empty; the former also
// "jobs/<id>"; jobs of the chain are "jobs/<id>".
JobNumbers NumbersOf(const v1::JobSpec& spec);
// What two jobs that train alike have in common: SHA-256 of the spec with its defaults, without
// metadata, scheduling, failure, checkpoint, alerts and chain; hex.
std::string RecipeDigest(v1::JobSpec spec);

Progress FromProto(const internal::v1::ReportProgressRequest& request);
std::vector<PlanEntry> FromProto(
    const google::protobuf::RepeatedPtrField<internal::v1::DataPlanEntry>& plan);
RunningRank FromProto(const internal::v1::RunningRank& rank);

struct AssignContext {
  std::string storage_uri;
  std::vector<std::string> dataservice_addresses;
};
// Everything that a rank of the job's live attempt needs to know.
internal::v1::CoordinatorMessage MakeAssign(const Job& job, int rank, const Core& core,
                                            const AssignContext& context);

}  // namespace seer::coordinator
