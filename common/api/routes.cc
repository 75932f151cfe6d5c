#include "common/api/routes.h"

#include <array>
#include <cstdint>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/base/check.h"
#include "seer/v1/access.pb.h"
#include "seer/v1/batches.pb.h"
#include "seer/v1/checkpoints.pb.h"
#include "seer/v1/curves.pb.h"
#include "seer/v1/event_log.pb.h"
#include "seer/v1/jobs.pb.h"
#include "seer/v1/pool_inspection.pb.h"
#include "seer/v1/pools.pb.h"
#include "seer/v1/profiles.pb.h"
#include "seer/v1/queues.pb.h"
#include "seer/v1/schedules.pb.h"
#include "seer/v1/specs.pb.h"
#include "seer/v1/sweeps.pb.h"
#include "seer/v1/workers.pb.h"

namespace seer {
namespace {

constexpr auto kRoutes = std::to_array<Route>({
    {"seer.v1.Jobs.CreateJob", "POST", "/v1/jobs", "*"},
    {"seer.v1.Jobs.PlanJob", "POST", "/v1/jobs:plan", "*"},
    {"seer.v1.Jobs.ListJobs", "GET", "/v1/jobs", ""},
    {"seer.v1.Jobs.GetJob", "GET", "/v1/{name=jobs/*}", ""},
    {"seer.v1.Jobs.UpdateJob", "PATCH", "/v1/{job.name=jobs/*}", "job"},
    {"seer.v1.Jobs.PauseJob", "POST", "/v1/{name=jobs/*}:pause", "*"},
    {"seer.v1.Jobs.ResumeJob", "POST", "/v1/{name=jobs/*}:resume", "*"},
    {"seer.v1.Jobs.CancelJob", "POST", "/v1/{name=jobs/*}:cancel", "*"},
    {"seer.v1.Jobs.WatchJob", "GET", "/v1/{name=jobs/*}:watch", ""},
    {"seer.v1.Jobs.ListEvents", "GET", "/v1/{name=jobs/*}/events", ""},
    {"seer.v1.Jobs.ReadLogs", "GET", "/v1/{name=jobs/*}/logs", "", "after", "position"},
    {"seer.v1.Curves.GetCurve", "GET", "/v1/{name=jobs/*/curve}", ""},
    {"seer.v1.Profiles.CreateProfile", "POST", "/v1/{job=jobs/*}/profiles", "*"},
    {"seer.v1.Profiles.WatchProfile", "GET", "/v1/{name=jobs/*/profiles/*}:watch", ""},

    {"seer.v1.Events.WatchEvents", "GET", "/v1/events:watch", "", "after_number", "number"},

    {"seer.v1.Checkpoints.ListCheckpoints", "GET", "/v1/checkpoints", ""},
    {"seer.v1.Checkpoints.ListCheckpoints", "GET", "/v1/{parent=jobs/*}/checkpoints", ""},
    {"seer.v1.Checkpoints.GetCheckpoint", "GET", "/v1/{name=jobs/*/checkpoints/*}", ""},
    {"seer.v1.Checkpoints.VerifyCheckpoint", "POST", "/v1/{name=jobs/*/checkpoints/*}:verify", "*"},
    {"seer.v1.Checkpoints.PinCheckpoint", "POST", "/v1/{name=jobs/*/checkpoints/*}:pin", "*"},
    {"seer.v1.Checkpoints.UnpinCheckpoint", "POST", "/v1/{name=jobs/*/checkpoints/*}:unpin", "*"},
    {"seer.v1.Checkpoints.PruneCheckpoints", "POST", "/v1/{parent=jobs/*}/checkpoints:prune", "*"},

    {"seer.v1.Queues.CreateQueue", "POST", "/v1/queues", "queue"},
    {"seer.v1.Queues.ListQueues", "GET", "/v1/queues", ""},
    {"seer.v1.Queues.GetQueue", "GET", "/v1/{name=queues/*}", ""},
    {"seer.v1.Queues.UpdateQueue", "PATCH", "/v1/{queue.name=queues/*}", "queue"},
    {"seer.v1.Queues.DeleteQueue", "DELETE", "/v1/{name=queues/*}", ""},

    {"seer.v1.Workers.ListWorkers", "GET", "/v1/workers", ""},
    {"seer.v1.Workers.GetWorker", "GET", "/v1/{name=workers/*}", ""},
    {"seer.v1.Workers.CordonWorker", "POST", "/v1/{name=workers/*}:cordon", "*"},
    {"seer.v1.Workers.UncordonWorker", "POST", "/v1/{name=workers/*}:uncordon", "*"},
    {"seer.v1.Workers.DrainWorker", "POST", "/v1/{name=workers/*}:drain", "*"},

    {"seer.v1.Schedules.CreateSchedule", "POST", "/v1/schedules", "schedule"},
    {"seer.v1.Schedules.ListSchedules", "GET", "/v1/schedules", ""},
    {"seer.v1.Schedules.GetSchedule", "GET", "/v1/{name=schedules/*}", ""},
    {"seer.v1.Schedules.UpdateSchedule", "PATCH", "/v1/{schedule.name=schedules/*}", "schedule"},
    {"seer.v1.Schedules.DeleteSchedule", "DELETE", "/v1/{name=schedules/*}", ""},

    {"seer.v1.Sweeps.CreateSweep", "POST", "/v1/sweeps", "sweep"},
    {"seer.v1.Sweeps.ListSweeps", "GET", "/v1/sweeps", ""},
    {"seer.v1.Sweeps.GetSweep", "GET", "/v1/{name=sweeps/*}", ""},
    {"seer.v1.Sweeps.CancelSweep", "POST", "/v1/{name=sweeps/*}:cancel", "*"},

    {"seer.v1.Specs.ParseSpecs", "POST", "/v1/specs:parse", "*"},

    {"seer.v1.Access.Authenticate", "POST", "/v1/tokens:authenticate", "*"},
    {"seer.v1.Access.CreateToken", "POST", "/v1/tokens", "*"},
    {"seer.v1.Access.ListTokens", "GET", "/v1/tokens", ""},
    {"seer.v1.Access.RevokeToken", "POST", "/v1/{name=tokens/*}:revoke", "*"},
    {"seer.v1.Access.ListAuditEntries", "GET", "/v1/auditEntries", ""},

    {"seer.v1.Pools.ListPools", "GET", "/v1/pools", ""},
    {"seer.v1.Pools.GetPool", "GET", "/v1/{name=pools/*}", ""},
    {"seer.v1.Pools.ListQuarantine", "GET", "/v1/{name=pools/*}/quarantine", ""},
    {"seer.v1.Pools.ListRefused", "GET", "/v1/{name=pools/*}/refused", ""},
    {"seer.v1.Pools.ListTakedowns", "GET", "/v1/{name=pools/*}/takedowns", ""},
    {"seer.v1.Pools.ListSamples", "POST", "/v1/{name=pools/*}:listSamples", "*"},
    {"seer.v1.Pools.FindSamples", "POST", "/v1/{name=pools/*}:findSamples", "*"},
    {"seer.v1.PoolInspection.GetPoolStats", "GET", "/v1/{name=pools/*}:stats", ""},
    {"seer.v1.PoolInspection.VerifyPool", "POST", "/v1/{name=pools/*}:verify", "*"},
    {"seer.v1.PoolInspection.SamplePool", "POST", "/v1/{name=pools/*}:sample", "*"},
});

constexpr absl::string_view kWrites =
    "it changes a pool: the data service is asked, which knows the caller, not the coordinator";

constexpr auto kNoRoutes = std::to_array<NoRoute>({
    {"seer.v1.Batches.StreamBatches", "pixels for trainers, up to 480 MiB a message"},
    {"seer.v1.Batches.GetReplicaLoad", "of one replica, between trainers and it"},
    {"seer.v1.Pools.CreatePool", kWrites},
    {"seer.v1.Pools.IngestPool", kWrites},
    {"seer.v1.Pools.RefreshPool", kWrites},
    {"seer.v1.Pools.CollectGarbage", kWrites},
    {"seer.v1.Pools.TakeDownImages", kWrites},
});

// One of each file, so that the linker keeps their descriptors.
const google::protobuf::DescriptorPool& Descriptors() {
  for (const auto* message :
       {v1::StreamBatchesRequest::descriptor(), v1::Checkpoint::descriptor(),
        v1::Curve::descriptor(), v1::WatchEventsRequest::descriptor(), v1::Job::descriptor(),
        v1::PoolStats::descriptor(), v1::Pool::descriptor(), v1::Profile::descriptor(),
        v1::Queue::descriptor(), v1::Schedule::descriptor(), v1::Sweep::descriptor(),
        v1::ParseSpecsRequest::descriptor(), v1::Token::descriptor(), v1::Worker::descriptor()})
    SEER_CHECK(message != nullptr) << "a descriptor is missing";
  return *google::protobuf::DescriptorPool::generated_pool();
}

// A template: what a path must have, segment by segment.
struct Template {
  struct Segment {
    std::string text;      // "*": any
    std::string variable;  // field path of the variable that it is part of; empty: none
  };
  std::vector<Segment> segments;
  std::string custom_verb;  // "pause"; empty: none
};

Template Parse(absl::string_view path) {
  Template out;
  std::string variable;
  absl::ConsumePrefix(&path, "/");
  const size_t colon = path.rfind(':');
  if (colon != absl::string_view::npos) {
    out.custom_verb = std::string(path.substr(colon + 1));
    path = path.substr(0, colon);
  }
  for (absl::string_view part : absl::StrSplit(path, '/')) {
    if (absl::ConsumePrefix(&part, "{")) {
      const std::vector<absl::string_view> halves = absl::StrSplit(part, '=');
      variable = std::string(halves[0]);
      part = halves[1];
    }
    const bool last = absl::ConsumeSuffix(&part, "}");
    out.segments.push_back({std::string(part), variable});
    if (last) variable.clear();
  }
  return out;
}

const std::vector<Template>& Templates() {
  static const auto* templates = [] {
    auto* out = new std::vector<Template>();
    for (const Route& route : kRoutes) out->push_back(Parse(route.path));
    return out;
  }();
  return *templates;
}

std::optional<std::map<std::string, std::string>> MatchPath(
    const Template& form, const std::vector<std::string>& segments) {
  if (segments.size() != form.segments.size()) return std::nullopt;
  std::map<std::string, std::string> variables;
  for (size_t i = 0; i < segments.size(); ++i) {
    const auto& wanted = form.segments[i];
    if (wanted.text == "*" ? segments[i].empty() : segments[i] != wanted.text) return std::nullopt;
    if (wanted.variable.empty()) continue;
    std::string& value = variables[wanted.variable];
    absl::StrAppend(&value, value.empty() ? "" : "/", segments[i]);
  }
  return variables;
}

std::vector<std::string> Segments(absl::string_view path) {
  absl::ConsumePrefix(&path, "/");
  std::vector<std::string> segments;
  for (const absl::string_view part : absl::StrSplit(path, '/'))
    segments.push_back(PercentDecoded(part));
  return segments;
}

}  // namespace

std::span<const Route> Routes() { return kRoutes; }
std::span<const NoRoute> NotRouted() { return kNoRoutes; }

const google::protobuf::MethodDescriptor& MethodOf(const Route& route) {
  const auto* method = Descriptors().FindMethodByName(std::string(route.rpc));
  SEER_CHECK(method != nullptr) << "there is no method " << route.rpc;
  return *method;
}

bool OfDataService(const google::protobuf::MethodDescriptor& method) {
  return method.service()->name() == "Pools" || method.service()->name() == "PoolInspection";
}

std::string PercentDecoded(absl::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    int byte = 0;
    if (text[i] == '%' && i + 2 < text.size() && absl::ascii_isxdigit(text[i + 1]) &&
        absl::ascii_isxdigit(text[i + 2]) && absl::SimpleHexAtoi(text.substr(i + 1, 2), &byte)) {
      out.push_back(static_cast<char>(byte));
      i += 2;
    } else {
      out.push_back(text[i]);
    }
  }
  return out;
}

Match FindRoute(absl::string_view verb, absl::string_view path) {
  Match match;
  // The last ':' begins a custom verb, if one of that name is there; a name may have one, too.
  const size_t slash = path.rfind('/'), colon = path.rfind(':');
  const bool may_have_verb =
      colon != absl::string_view::npos && colon > slash && colon + 1 < path.size();
  for (const bool custom : {true, false}) {
    if (custom && !may_have_verb) continue;
    const absl::string_view custom_verb = custom ? path.substr(colon + 1) : "";
    const std::vector<std::string> segments = Segments(custom ? path.substr(0, colon) : path);
    for (size_t i = 0; i < kRoutes.size(); ++i) {
      const Template& form = Templates()[i];
      if (form.custom_verb != custom_verb) continue;
      auto variables = MatchPath(form, segments);
      if (!variables) continue;
      match.verbs.emplace_back(kRoutes[i].verb);
      if (kRoutes[i].verb != verb) continue;
      match.route = &kRoutes[i];
      match.variables = std::move(*variables);
      match.verbs.clear();
      return match;
    }
    if (!match.verbs.empty()) return match;
  }
  return match;
}

PathForm ReadablePath(const Route& route) {
  const Template form = Parse(route.path);
  PathForm out;
  std::string collection;
  for (const auto& [text, variable] : form.segments) {
    if (text == "*") {  // "jobs" -> "job"
      out.variables.emplace_back(absl::StripSuffix(collection, "s"));
      absl::StrAppend(&out.path, "/{", out.variables.back(), "}");
    } else {
      absl::StrAppend(&out.path, "/", text);
      collection = text;
    }
  }
  if (!form.custom_verb.empty()) absl::StrAppend(&out.path, ":", form.custom_verb);
  return out;
}

}  // namespace seer
