#include "common/access/methods.h"

#include <google/protobuf/message.h>

#include <set>
#include <vector>

#include "absl/strings/str_split.h"

namespace seer::access {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

constexpr Role kViewer = Role::kViewer, kSubmitter = Role::kSubmitter, kOperator = Role::kOperator,
               kAdmin = Role::kAdmin;
constexpr bool kWorker = true, kPeople = false;  // workers may, too
constexpr bool kReads = false, kChanges = true;
constexpr size_t kLarge = 16 << 20;

constexpr MethodRule kMethods[] = {
    {"seer.v1.Access/Authenticate", kViewer, kWorker, kReads, About::kNothing, ""},
    {"seer.v1.Access/CreateToken", kAdmin, kPeople, kChanges, About::kBinding, "token"},
    {"seer.v1.Access/ListTokens", kAdmin, kPeople, kReads, About::kCluster, ""},
    {"seer.v1.Access/RevokeToken", kAdmin, kPeople, kChanges, About::kCluster, "name"},
    {"seer.v1.Access/ListAuditEntries", kAdmin, kPeople, kReads, About::kCluster, ""},

    {"seer.v1.Jobs/CreateJob", kSubmitter, kPeople, kChanges, About::kSpec, "spec"},
    {"seer.v1.Jobs/PlanJob", kViewer, kPeople, kReads, About::kSpec, "spec"},
    {"seer.v1.Jobs/GetJob", kViewer, kPeople, kReads, About::kJob, "name"},
    {"seer.v1.Jobs/ListJobs", kViewer, kPeople, kReads, About::kNothing, ""},
    {"seer.v1.Jobs/PauseJob", kSubmitter, kPeople, kChanges, About::kJob, "name"},
    {"seer.v1.Jobs/ResumeJob", kSubmitter, kPeople, kChanges, About::kJob, "name"},
    {"seer.v1.Jobs/UpdateJob", kSubmitter, kPeople, kChanges, About::kJob, "job.name"},
    {"seer.v1.Jobs/CancelJob", kSubmitter, kPeople, kChanges, About::kJob, "name"},
    {"seer.v1.Jobs/WatchJob", kViewer, kPeople, kReads, About::kJob, "name"},
    {"seer.v1.Jobs/ListEvents", kViewer, kPeople, kReads, About::kJob, "name"},
    {"seer.v1.Jobs/ReadLogs", kViewer, kPeople, kReads, About::kJob, "name"},

    {"seer.v1.Checkpoints/GetCheckpoint", kViewer, kPeople, kReads, About::kJob, "name"},
    {"seer.v1.Checkpoints/ListCheckpoints", kViewer, kPeople, kReads, About::kJob, "parent"},
    {"seer.v1.Checkpoints/VerifyCheckpoint", kSubmitter, kPeople, kReads, About::kJob, "name"},
    {"seer.v1.Checkpoints/PinCheckpoint", kSubmitter, kPeople, kChanges, About::kJob, "name"},
    {"seer.v1.Checkpoints/UnpinCheckpoint", kSubmitter, kPeople, kChanges, About::kJob, "name"},
    {"seer.v1.Checkpoints/PruneCheckpoints", kSubmitter, kPeople, kChanges, About::kJob, "parent"},

    {"seer.v1.Profiles/CreateProfile", kSubmitter, kPeople, kChanges, About::kJob, "job"},
    {"seer.v1.Profiles/WatchProfile", kViewer, kPeople, kReads, About::kJob, "name"},

    {"seer.v1.Queues/CreateQueue", kOperator, kPeople, kChanges, About::kCluster, "queue.name"},
    {"seer.v1.Queues/GetQueue", kViewer, kPeople, kReads, About::kQueue, "name"},
    {"seer.v1.Queues/ListQueues", kViewer, kPeople, kReads, About::kNothing, ""},
    {"seer.v1.Queues/UpdateQueue", kOperator, kPeople, kChanges, About::kCluster, "queue.name"},
    {"seer.v1.Queues/DeleteQueue", kOperator, kPeople, kChanges, About::kCluster, "name"},

    {"seer.v1.Schedules/CreateSchedule", kSubmitter, kPeople, kChanges, About::kSpec,
     "schedule.spec"},
    {"seer.v1.Schedules/GetSchedule", kViewer, kPeople, kReads, About::kSchedule, "name"},
    {"seer.v1.Schedules/ListSchedules", kViewer, kPeople, kReads, About::kNothing, ""},
    {"seer.v1.Schedules/UpdateSchedule", kSubmitter, kPeople, kChanges, About::kSchedule,
     "schedule.name"},
    {"seer.v1.Schedules/DeleteSchedule", kSubmitter, kPeople, kChanges, About::kSchedule, "name"},

    {"seer.v1.Curves/GetCurve", kViewer, kPeople, kReads, About::kJob, "name"},
    {"seer.v1.Events/WatchEvents", kViewer, kPeople, kReads, About::kNothing, ""},
    {"seer.v1.Specs/ParseSpecs", kViewer, kPeople, kReads, About::kNothing, ""},

    {"seer.v1.Sweeps/CreateSweep", kSubmitter, kPeople, kChanges, About::kSpec, "sweep.spec"},
    {"seer.v1.Sweeps/GetSweep", kViewer, kPeople, kReads, About::kSweep, "name"},
    {"seer.v1.Sweeps/ListSweeps", kViewer, kPeople, kReads, About::kNothing, ""},
    {"seer.v1.Sweeps/CancelSweep", kSubmitter, kPeople, kChanges, About::kSweep, "name"},

    {"seer.v1.Workers/GetWorker", kViewer, kPeople, kReads, About::kNothing, "name"},
    {"seer.v1.Workers/ListWorkers", kViewer, kPeople, kReads, About::kNothing, ""},
    {"seer.v1.Workers/CordonWorker", kOperator, kPeople, kChanges, About::kCluster, "name"},
    {"seer.v1.Workers/UncordonWorker", kOperator, kPeople, kChanges, About::kCluster, "name"},
    {"seer.v1.Workers/DrainWorker", kOperator, kPeople, kChanges, About::kCluster, "name"},

    {"seer.v1.Pools/CreatePool", kOperator, kPeople, kChanges, About::kPool, "pool_id"},
    {"seer.v1.Pools/GetPool", kViewer, kWorker, kReads, About::kPool, "name"},
    {"seer.v1.Pools/ListPools", kViewer, kPeople, kReads, About::kNothing, ""},
    {"seer.v1.Pools/IngestPool", kOperator, kPeople, kChanges, About::kPool, "name", kLarge},
    {"seer.v1.Pools/ListQuarantine", kViewer, kPeople, kReads, About::kPool, "name"},
    {"seer.v1.Pools/ListSamples", kViewer, kPeople, kReads, About::kPool, "name"},
    {"seer.v1.Pools/RefreshPool", kOperator, kPeople, kChanges, About::kPool, "name", kLarge},
    {"seer.v1.Pools/ListRefused", kViewer, kPeople, kReads, About::kPool, "name"},
    {"seer.v1.Pools/CollectGarbage", kOperator, kPeople, kChanges, About::kPool, "name"},
    {"seer.v1.Pools/TakeDownImages", kOperator, kPeople, kChanges, About::kPool, "name", kLarge},
    {"seer.v1.Pools/ListTakedowns", kViewer, kPeople, kReads, About::kPool, "name"},
    {"seer.v1.Pools/FindSamples", kViewer, kPeople, kReads, About::kPool, "name", kLarge},

    {"seer.v1.PoolInspection/GetPoolStats", kViewer, kPeople, kReads, About::kPool, "name"},
    {"seer.v1.PoolInspection/VerifyPool", kSubmitter, kPeople, kReads, About::kPool, "name"},
    {"seer.v1.PoolInspection/SamplePool", kViewer, kPeople, kReads, About::kPool, "name"},

    {"seer.v1.Batches/StreamBatches", kViewer, kWorker, kReads, About::kPool, "pool"},
    {"seer.v1.Batches/GetReplicaLoad", kViewer, kWorker, kReads, About::kNothing, ""},

    {"seer.internal.v1.Agents/Connect", kAdmin, kWorker, kReads, About::kCluster, ""},
    {"seer.internal.v1.Audits/RecordEntry", kViewer, kWorker, kReads, About::kNothing, ""},
    {"seer.internal.v1.Trainers/ReportProgress", kAdmin, kWorker, kReads, About::kCluster, ""},
    {"seer.internal.v1.Trainers/ReportCheckpoint", kAdmin, kWorker, kReads, About::kCluster, "",
     kLarge},
    {"seer.internal.v1.Trainers/ReportEval", kAdmin, kWorker, kReads, About::kCluster, ""},
    {"seer.internal.v1.Trainers/ReportProfile", kAdmin, kWorker, kReads, About::kCluster, "",
     kLarge},
};

// The message that holds the last field of the path; null: one on the way is not set.
const Message* Walk(const Message& message, const std::vector<std::string>& fields, size_t count) {
  const Message* at = &message;
  for (size_t i = 0; i < count; ++i) {
    const FieldDescriptor* field = at->GetDescriptor()->FindFieldByName(fields[i]);
    if (field == nullptr || field->is_repeated() ||
        field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE ||
        !at->GetReflection()->HasField(*at, field))
      return nullptr;
    at = &at->GetReflection()->GetMessage(*at, field);
  }
  return at;
}

}  // namespace

absl::Span<const MethodRule> AllMethods() { return kMethods; }

const MethodRule* FindMethod(const std::string& method) {
  for (const MethodRule& rule : kMethods)
    if (method == rule.method) return &rule;
  return nullptr;
}

std::string TextAt(const Message& message, const std::string& path) {
  const std::vector<std::string> fields = absl::StrSplit(path, '.');
  const Message* const at = Walk(message, fields, fields.size() - 1);
  if (at == nullptr) return "";
  const FieldDescriptor* const field = at->GetDescriptor()->FindFieldByName(fields.back());
  if (field == nullptr || field->is_repeated() ||
      field->cpp_type() != FieldDescriptor::CPPTYPE_STRING)
    return "";
  return at->GetReflection()->GetString(*at, field);
}

const Message* MessageAt(const Message& message, const std::string& path) {
  const std::vector<std::string> fields = absl::StrSplit(path, '.');
  return Walk(message, fields, fields.size());
}

Target TargetOfSpec(const Message& spec) {
  Target target;
  target.queue = TextAt(spec, "scheduling.queue");
  if (target.queue->empty()) target.queue = "default";
  std::set<std::string> pools;
  for (const char* path : {"data.pool", "eval.train_pool", "eval.test_pool"})
    if (std::string pool = TextAt(spec, path); !pool.empty()) pools.insert(std::move(pool));
  if (pools.size() == 1) target.pool = *pools.begin();
  return target;
}

}  // namespace seer::access
