#include "coordinator/services/sweeps_service.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/rpc/status_grpc.h"
#include "common/spec/rules.h"
#include "common/spec/secrets.h"
#include "common/spec/sweep.h"
#include "coordinator/services/convert.h"
#include "coordinator/services/page_token.h"

namespace seer::coordinator {
namespace {

v1::Sweep ToProto(const Sweep& sweep, const Core& core, absl::Time now, bool results) {
  v1::Sweep out;
  out.ParseFromString(sweep.definition);
  MaskSecrets(*out.mutable_spec());
  out.set_state(static_cast<v1::SweepState>(sweep.state));
  out.set_state_message(sweep.message);
  out.set_used_device_seconds(core.UseOf(sweep, now).device_seconds);
  SetTime(sweep.created, out.mutable_create_time());
  if (sweep.ended != absl::InfinitePast()) SetTime(sweep.ended, out.mutable_end_time());
  for (size_t i = 0; results && i < sweep.made.size(); ++i) {
    v1::SweepTrial& trial = *out.add_results();
    trial.set_number(static_cast<int32_t>(i + 1));
    const auto values = TrialValues(out, trial.number());
    trial.mutable_values()->insert(values.begin(), values.end());
    trial.set_message(sweep.made[i].message);
    const auto job = core.jobs().find(sweep.made[i].job);
    if (job == core.jobs().end()) {
      if (trial.message().empty())
        trial.set_message("its job ended long ago and is no longer kept");
      continue;
    }
    trial.set_job(absl::StrCat("jobs/", job->first));
    trial.set_state(static_cast<v1::JobState>(job->second.state));
    if (trial.message().empty()) trial.set_message(job->second.message);
    trial.set_loss(job->second.progress.loss);
    trial.set_device_seconds(core.DeviceSecondsOf(job->second, now));
  }
  return out;
}

// What the client may say of it; the rest is output.
v1::Sweep DefinitionOf(const v1::Sweep& sweep) {
  v1::Sweep definition = sweep;
  definition.clear_state();
  definition.clear_state_message();
  definition.clear_used_device_seconds();
  definition.clear_create_time();
  definition.clear_end_time();
  definition.clear_results();
  return definition;
}

}  // namespace

absl::Status SweepsService::Get(const std::string& name, v1::Sweep& out) {
  return runner_.Read([&](const Core& core, Store&) -> absl::Status {
    SEER_ASSIGN_OR_RETURN(const Sweep* sweep, core.FindSweep(name));
    out = ToProto(*sweep, core, clock_.Now(), /*results=*/true);
    return absl::OkStatus();
  });
}

absl::Status SweepsService::List(const v1::ListSweepsRequest& request,
                                 v1::ListSweepsResponse& out) {
  SEER_ASSIGN_OR_RETURN(const int size, PageSize(request.page_size(), 100, 1000));
  SEER_ASSIGN_OR_RETURN(const auto token, ReadPageToken("sweeps", 1, request.page_token()));
  return runner_.Read([&](const Core& core, Store&) {
    const auto& all = core.sweeps();
    for (auto it = token.empty() ? all.begin() : all.upper_bound(token[0]); it != all.end(); ++it) {
      if (out.sweeps_size() == size) {
        out.set_next_page_token(MakePageToken("sweeps", {std::prev(it)->first}));
        break;
      }
      *out.add_sweeps() = ToProto(it->second, core, clock_.Now(), /*results=*/false);
    }
    return absl::OkStatus();
  });
}

absl::Status SweepsService::Create(const v1::CreateSweepRequest& request, v1::Sweep& out) {
  std::string earlier;
  SEER_RETURN_IF_ERROR(runner_.Read([&](const Core& core, Store&) {
    earlier = core.SweepCreatedBy(request.request_id());
    return absl::OkStatus();
  }));
  if (!earlier.empty()) return Get(earlier, out);
  if (!request.sweep().spec().metadata().name().empty())
    return Broken("spec.metadata.name",
                  absl::StrCat("'", request.sweep().spec().metadata().name(), "'"),
                  "empty: trials are called \"{sweep}-{number}\"", "leave metadata.name out");
  SEER_ASSIGN_OR_RETURN(const v1::Sweep sweep, CompleteSweep(DefinitionOf(request.sweep())));
  SEER_ASSIGN_OR_RETURN(const v1::JobSpec first, TrialSpec(sweep, 1));
  SEER_ASSIGN_OR_RETURN(const command::CreateJob trial, maker_.Prepare(first, ""));
  SEER_RETURN_IF_ERROR(runner_.Read([&](const Core& core, Store&) {
    // While a sweep of that name runs, its trials have the names of these: CreateSweep says so.
    const auto known = core.FindSweep(sweep.name());
    if (known.ok() && (*known)->state == SweepState::kRunning) return absl::OkStatus();
    return core.CheckCreate(trial.job);
  }));
  command::CreateSweep create;
  create.sweep.name = std::string(absl::StripPrefix(sweep.name(), "sweeps/"));
  create.sweep.definition = sweep.SerializeAsString();
  create.sweep.trials = sweep.trials();
  create.sweep.parallel = sweep.parallel();
  create.sweep.budget_device_seconds = sweep.budget_device_seconds();
  create.request_id = request.request_id();
  create.id_seed = trial.id_seed;
  const std::string name = create.sweep.name;
  SEER_RETURN_IF_ERROR(runner_.Execute(std::move(create)).status);
  return Get(name, out);
}

grpc::Status SweepsService::CreateSweep(grpc::ServerContext*, const v1::CreateSweepRequest* request,
                                        v1::Sweep* out) {
  return ToGrpc(Create(*request, *out));
}
grpc::Status SweepsService::GetSweep(grpc::ServerContext*, const v1::GetSweepRequest* request,
                                     v1::Sweep* out) {
  return ToGrpc(Get(request->name(), *out));
}
grpc::Status SweepsService::ListSweeps(grpc::ServerContext*, const v1::ListSweepsRequest* request,
                                       v1::ListSweepsResponse* out) {
  return ToGrpc(List(*request, *out));
}
grpc::Status SweepsService::CancelSweep(grpc::ServerContext*, const v1::CancelSweepRequest* request,
                                        v1::Sweep* out) {
  const absl::Status cancelled = runner_.Execute(command::CancelSweep{request->name()}).status;
  return ToGrpc(cancelled.ok() ? Get(request->name(), *out) : cancelled);
}

}  // namespace seer::coordinator
