// seer job profile.
#include <grpcpp/grpcpp.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/chrome_trace.h"
#include "client/commands/job.h"
#include "client/progress.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/objectstore/local_store.h"
#include "common/rpc/channel.h"
#include "common/rpc/status_grpc.h"
#include "seer/v1/profiles.grpc.pb.h"

namespace seer::client {
namespace {

struct ProfileOptions {
  std::string job;
  int steps = 3;
  std::string file = "trace.json";
  bool force = false;
};

struct Recording {
  v1::Profile profile;
  std::vector<v1::RankTrace> ranks;
};

std::string Count(int64_t number, const char* what) {
  return absl::StrCat(number, " ", what, number == 1 ? "" : "s");
}

std::string StateText(const v1::Profile& profile) {
  switch (profile.state()) {
    case v1::PROFILE_STATE_REQUESTED:
      return absl::StrCat("waiting for ", Count(profile.ranks(), "rank"), " to begin");
    case v1::PROFILE_STATE_RECORDING:
      return absl::StrFormat("recording from step %d: step %d/%d, %d/%d ranks have sent",
                             profile.first_step(), profile.steps_done(), profile.steps(),
                             profile.ranks_received(), profile.ranks());
    case v1::PROFILE_STATE_DONE:
      return absl::StrCat("fetching what ", Count(profile.ranks(), "rank"), " recorded");
    default:
      return EnumName(v1::ProfileState_Name(profile.state()), "PROFILE_STATE_");
  }
}

absl::StatusOr<v1::Profile> Ask(const Session& session, v1::Profiles::Stub& stub,
                                const std::string& job, int steps) {
  v1::CreateProfileRequest request;
  request.set_job(job);
  request.set_steps(steps);
  request.set_request_id(NewRequestId());
  v1::Profile profile;
  SEER_RETURN_IF_ERROR(session.Call("the coordinator", [&](grpc::ClientContext& context) {
    return FromGrpc(stub.CreateProfile(&context, request, &profile));
  }));
  return profile;
}

// Watches the profile to its end and takes what the ranks recorded. CANCELLED: Ctrl-C.
absl::StatusOr<Recording> Fetch(const Session& session, v1::Profiles::Stub& stub,
                                const std::string& name) {
  v1::WatchProfileRequest request;
  request.set_name(name);
  grpc::ClientContext context;
  Interrupt::Scope scope(*session.interrupt, context);
  const auto stream = stub.WatchProfile(&context, request);
  Recording recording;
  ProgressView view;
  v1::WatchProfileResponse response;
  while (stream->Read(&response)) {
    if (response.has_trace()) recording.ranks.push_back(std::move(*response.mutable_trace()));
    if (!response.has_profile()) continue;
    recording.profile = response.profile();
    view.ShowText(v1::ProfileState_Name(recording.profile.state()), StateText(recording.profile));
  }
  const absl::Status status = FromGrpc(stream->Finish());
  view.Done();
  if (session.interrupt->caught()) return absl::CancelledError("interrupted");
  SEER_RETURN_IF_ERROR(ReachStatus("the coordinator", status));
  const v1::Profile& profile = recording.profile;
  if (profile.state() == v1::PROFILE_STATE_FAILED) {
    return Error(absl::StatusCode::kFailedPrecondition, profile.state_reason(),
                 profile.state_message())
        .Hint(profile.state_reason() == reason::kProfileInterrupted
                  ? "`seer job describe` shows the job's state; ask again while it runs"
                  : "ask for fewer --steps");
  }
  if (static_cast<int>(recording.ranks.size()) != profile.ranks()) {
    return Error(absl::StatusCode::kInternal, reason::kInternal,
                 absl::StrCat("the coordinator sent what ", recording.ranks.size(), " of ",
                              Count(profile.ranks(), "rank"), " recorded"));
  }
  return recording;
}

absl::Status Write(const Recording& recording, const std::string& file) {
  const std::filesystem::path to = std::filesystem::absolute(file);
  SEER_ASSIGN_OR_RETURN(const auto store, OpenLocalStore(to.parent_path().string()));
  return store->Put(to.filename().string(), ChromeTrace(recording.profile, recording.ranks));
}

int Show(const Session& session, const Recording& recording, const std::string& file) {
  const v1::Profile& profile = recording.profile;
  int64_t spans = 0, dropped = 0;
  for (const v1::RankTrace& rank : recording.ranks) {
    spans += rank.spans_size();
    dropped += rank.dropped_spans();
  }
  if (dropped > 0)
    Note(
        absl::StrCat("warning: ", Count(dropped, "span"), " found no room; ask for fewer --steps"));
  const int64_t last = profile.first_step() + profile.steps() - 1;
  PrintOne(session.form, profile,
           {{"Profile", profile.name()},
            {"Attempt", absl::StrCat(profile.attempt())},
            {"Steps", absl::StrCat(profile.first_step(), " to ", last)},
            {"Ranks", absl::StrCat(profile.ranks())},
            {"Spans", absl::StrCat(spans)},
            {"File", absl::StrCat(file, "  (open it in chrome://tracing or ui.perfetto.dev)")}});
  return kExitOk;
}

int Profile(Session& session, const std::string& job, const ProfileOptions& options) {
  const absl::Status writable = CheckNewFile(options.file, options.force);
  if (!writable.ok()) return Fail(writable);
  const auto channel = session.Coordinator();
  if (!channel.ok()) return Fail(channel.status());
  const auto stub = v1::Profiles::NewStub(*channel);
  const auto profile = Ask(session, *stub, job, options.steps);
  absl::StatusOr<Recording> recording =
      profile.ok() ? Fetch(session, *stub, profile->name()) : profile.status();
  if (absl::IsCancelled(recording.status())) {
    Note(absl::StrCat("interrupted: ", options.file, " was not written; the job goes on"));
    return kExitInterrupted;
  }
  if (!recording.ok()) return Fail(recording.status());
  const absl::Status written = Write(*recording, options.file);
  return written.ok() ? Show(session, *recording, options.file) : Fail(written);
}

}  // namespace

void AddProfile(CLI::App& parent, Session& session) {
  auto options = std::make_shared<ProfileOptions>();
  CLI::App* command = parent.add_subcommand(
      "profile", "Record what all ranks of a running job do in a few steps, as a Chrome trace");
  AddJobArgument(*command, options->job);
  command->add_option("--steps", options->steps, "Steps to record, 1 to 50 (default 3)")
      ->check(CLI::Range(1, 50));
  command->add_option("--file", options->file, "The file to write (default trace.json)");
  command->add_flag("--force", options->force, "Replace a file that is there");
  command->footer(
      "Examples:\n  seer job profile job_ab12cd34\n"
      "  seer job profile digits --steps 10 --file digits.json --force");
  command->callback([&session, options] {
    session.exit_code = WithJob(
        session, options->job,
        [&](v1::Jobs::Stub&, const std::string& full) { return Profile(session, full, *options); });
  });
}

}  // namespace seer::client
