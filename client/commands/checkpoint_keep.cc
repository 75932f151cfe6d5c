// seer checkpoint: pin, unpin, prune.
#include "client/commands/checkpoint_keep.h"

#include <grpcpp/grpcpp.h>
#include <pwd.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <optional>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "client/commands/checkpoint_name.h"
#include "client/confirm.h"
#include "client/exit_code.h"
#include "common/rpc/status_grpc.h"
#include "seer/v1/checkpoints.grpc.pb.h"

namespace seer::client {
namespace {

using google::protobuf::Message;
using Retained = v1::PruneCheckpointsResponse::Retained;

// Who is logged in; the coordinator takes the client's word for it.
std::string UserName() {
  const passwd* const entry = getpwuid(getuid());
  return entry != nullptr ? entry->pw_name : absl::StrCat("uid ", getuid());
}

template <typename Request>
int Call(Session& session, const Request& request,
         grpc::Status (v1::Checkpoints::Stub::*method)(grpc::ClientContext*, const Request&,
                                                       v1::Checkpoint*)) {
  const auto channel = session.Coordinator();
  if (!channel.ok()) return Fail(channel.status());
  const auto stub = v1::Checkpoints::NewStub(*channel);
  v1::Checkpoint checkpoint;
  const absl::Status status = session.Call("the coordinator", [&](grpc::ClientContext& context) {
    return FromGrpc((stub.get()->*method)(&context, request, &checkpoint));
  });
  if (!status.ok()) return Fail(status);
  PrintOne(session.form, checkpoint,
           {{"Checkpoint", checkpoint.name()},
            {"Kept", checkpoint.keep_reason().empty() ? "no longer: it is being deleted"
                                                      : checkpoint.keep_reason()}});
  return kExitOk;
}

struct PruneOptions {
  std::string job;
  std::optional<int> keep_last, keep_best;
  std::optional<int64_t> keep_every;
  bool yes = false, dry_run = false;
};

absl::StatusOr<std::vector<Retained>> Prune(Session& session, v1::Checkpoints::Stub& stub,
                                            const PruneOptions& options, bool dry_run) {
  v1::PruneCheckpointsRequest request;
  request.set_parent(absl::StartsWith(options.job, "jobs/") ? options.job
                                                            : absl::StrCat("jobs/", options.job));
  if (options.keep_last) request.set_keep_last(*options.keep_last);
  if (options.keep_every) request.set_keep_every(*options.keep_every);
  if (options.keep_best) request.set_keep_best(*options.keep_best);
  request.set_dry_run(dry_run);
  v1::PruneCheckpointsResponse response;
  const absl::Status status = session.Call("the coordinator", [&](grpc::ClientContext& context) {
    return FromGrpc(stub.PruneCheckpoints(&context, request, &response));
  });
  if (!status.ok()) return status;
  return std::vector<Retained>(response.checkpoints().begin(), response.checkpoints().end());
}

void Print(const Session& session, const std::vector<Retained>& checkpoints, const char* verb) {
  const auto as = [](const Message& m) -> const Retained& {
    return static_cast<const Retained&>(m);
  };
  std::vector<const Message*> items;
  for (const Retained& each : checkpoints) items.push_back(&each);
  PrintList(session.form, items,
            {{"NAME", [&](const Message& m) { return as(m).name(); }},
             {"SIZE", [&](const Message& m) { return FormatBytes(as(m).size_bytes()); }},
             {"DECISION", [&](const Message& m) { return as(m).deleted() ? verb : "kept"; }},
             {"WHY", [&](const Message& m) { return as(m).reason(); }}});
}

int Prune(Session& session, const PruneOptions& options) {
  const auto channel = session.Coordinator();
  if (!channel.ok()) return Fail(channel.status());
  const auto stub = v1::Checkpoints::NewStub(*channel);
  const auto planned = Prune(session, *stub, options, /*dry_run=*/true);
  if (!planned.ok()) return Fail(planned.status());
  int count = 0;
  int64_t bytes = 0;
  for (const Retained& each : *planned) {
    count += each.deleted();
    if (each.deleted()) bytes += each.size_bytes();
  }
  if (options.dry_run || count == 0) {
    Print(session, *planned, "would be deleted");
    return kExitOk;
  }
  const absl::Status sure =
      Confirm(absl::StrCat("delete ", count, count == 1 ? " checkpoint" : " checkpoints", " of ",
                           options.job, ", ", FormatBytes(bytes)),
              options.yes, *session.interrupt, DryRun::kOffered);
  if (!sure.ok()) return Fail(sure);
  const auto done = Prune(session, *stub, options, /*dry_run=*/false);
  if (!done.ok()) return Fail(done.status());
  Print(session, *done, "deleted");
  return kExitOk;
}

void AddPrune(CLI::App& noun, Session& session) {
  auto options = std::make_shared<PruneOptions>();
  CLI::App* command = noun.add_subcommand(
      "prune", "Delete what a job's policy does not keep, or what a stricter one would not");
  command->add_option("job", options->job, "Id or name of the job")->required();
  command->add_option("--keep-last", options->keep_last,
                      "Keep so many of the newest; default: the spec's checkpoint.keepLast");
  command->add_option("--keep-every", options->keep_every,
                      "Keep each whose step is a multiple of it; default: checkpoint.keepEvery");
  command->add_option("--keep-best", options->keep_best,
                      "Keep so many of the best by k-NN; default: checkpoint.keepBest");
  command->add_flag("--dry-run", options->dry_run, "Say what would be deleted; do nothing");
  command->add_flag("--yes,-y", options->yes, "Do not ask");
  command->footer(
      "What is pinned or needed stays.\nExamples:\n  seer checkpoint prune digits --keep-last 1 "
      "--dry-run\n  seer checkpoint prune job_ab12cd34 --keep-last 1 --keep-every 1000 --yes");
  command->callback([&session, options] { session.exit_code = Prune(session, *options); });
}

}  // namespace

void AddKeeping(CLI::App& noun, Session& session) {
  auto pinned = std::make_shared<std::string>();
  auto why = std::make_shared<std::string>();
  CLI::App* command = noun.add_subcommand("pin", "Keep a checkpoint, whatever the policy says");
  command->add_option("checkpoint", *pinned, "jobs/JOB/checkpoints/STEP, or JOB/STEP")->required();
  command->add_option("--reason", *why, "For those who see it");
  command->footer("Example:\n  seer checkpoint pin job_ab12cd34/420 --reason 'in the paper'");
  command->callback([&session, pinned, why] {
    v1::PinCheckpointRequest request;
    request.set_name(CheckpointName(*pinned));
    request.set_user(UserName());
    request.set_reason(*why);
    session.exit_code = Call(session, request, &v1::Checkpoints::Stub::PinCheckpoint);
  });
  auto unpinned = std::make_shared<std::string>();
  command = noun.add_subcommand("unpin", "Leave a checkpoint to the policy again");
  command->add_option("checkpoint", *unpinned, "jobs/JOB/checkpoints/STEP, or JOB/STEP")
      ->required();
  command->footer("Example:\n  seer checkpoint unpin job_ab12cd34/420");
  command->callback([&session, unpinned] {
    v1::UnpinCheckpointRequest request;
    request.set_name(CheckpointName(*unpinned));
    session.exit_code = Call(session, request, &v1::Checkpoints::Stub::UnpinCheckpoint);
  });
  AddPrune(noun, session);
}

}  // namespace seer::client
