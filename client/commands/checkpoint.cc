// seer checkpoint: list, describe, verify, export; pin, unpin and prune stand in
// checkpoint_keep.cc.
#include <grpcpp/grpcpp.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <memory>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "client/cli.h"
#include "client/commands/checkpoint_keep.h"
#include "client/commands/checkpoint_name.h"
#include "client/exit_code.h"
#include "client/paging.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/flags/choice.h"
#include "common/objectstore/open_store.h"
#include "common/rpc/status_grpc.h"
#include "engine/export/weights.h"
#include "seer/v1/checkpoints.grpc.pb.h"

namespace seer::client {
namespace {

using google::protobuf::Message;

constexpr absl::Duration kVerifyLimit = absl::Minutes(30);  // verifying reads every byte

const v1::Checkpoint& As(const Message& m) { return static_cast<const v1::Checkpoint&>(m); }

std::string TopText(const v1::Checkpoint& checkpoint) {
  return checkpoint.has_knn_top1_ratio()
             ? absl::StrFormat("%.2f%%", checkpoint.knn_top1_ratio() * 100)
             : "-";
}

int List(Session& session, const std::string& job) {
  const auto channel = session.Coordinator();
  if (!channel.ok()) return Fail(channel.status());
  const auto stub = v1::Checkpoints::NewStub(*channel);
  v1::ListCheckpointsRequest request;
  if (!job.empty())
    request.set_parent(absl::StartsWith(job, "jobs/") ? job : absl::StrCat("jobs/", job));
  const auto checkpoints = FetchPages<v1::Checkpoint>(
      session, "the coordinator", *stub, &v1::Checkpoints::Stub::ListCheckpoints, request,
      &v1::ListCheckpointsResponse::checkpoints);
  if (!checkpoints.ok()) return Fail(checkpoints.status());
  std::vector<const Message*> items;
  for (const auto& checkpoint : *checkpoints) items.push_back(&checkpoint);
  PrintList(session.form, items,
            {{"NAME", [](const Message& m) { return As(m).name(); }},
             {"STEP", [](const Message& m) { return absl::StrCat(As(m).step()); }},
             {"SIZE", [](const Message& m) { return FormatBytes(As(m).size_bytes()); }},
             {"FILES", [](const Message& m) { return absl::StrCat(As(m).files_size()); }},
             {"STATE", [](const Message& m) { return As(m).corrupt() ? "CORRUPT" : "COMMITTED"; }},
             {"AGE", [](const Message& m) { return FormatAge(As(m).create_time()); }},
             {"TOP-1", [](const Message& m) { return TopText(As(m)); }},
             {"KEPT", [](const Message& m) { return As(m).keep_reason(); }},
             {"URI", [](const Message& m) { return As(m).uri(); }, true}});
  return kExitOk;
}

// With `verify` after every file was read again.
absl::StatusOr<v1::Checkpoint> Fetch(Session& session, const std::string& name, bool verify) {
  SEER_ASSIGN_OR_RETURN(const auto channel, session.Coordinator());
  const auto stub = v1::Checkpoints::NewStub(channel);
  v1::Checkpoint checkpoint;
  SEER_RETURN_IF_ERROR(session.Call(
      "the coordinator",
      [&](grpc::ClientContext& context) {
        v1::VerifyCheckpointRequest verify_request;
        verify_request.set_name(CheckpointName(name));
        v1::GetCheckpointRequest get_request;
        get_request.set_name(CheckpointName(name));
        return FromGrpc(verify ? stub->VerifyCheckpoint(&context, verify_request, &checkpoint)
                               : stub->GetCheckpoint(&context, get_request, &checkpoint));
      },
      verify ? kVerifyLimit : absl::Seconds(10)));
  return checkpoint;
}

int Show(Session& session, const std::string& name, bool verify) {
  const auto fetched = Fetch(session, name, verify);
  if (!fetched.ok()) return Fail(fetched.status());
  const v1::Checkpoint& checkpoint = *fetched;
  std::vector<std::pair<std::string, std::string>> lines = {
      {"Checkpoint", checkpoint.name()},
      {"Step", absl::StrCat(checkpoint.step())},
      {"Attempt", absl::StrCat(checkpoint.attempt())},
      {"Committed", FormatTime(checkpoint.create_time())},
      {"State", checkpoint.corrupt() ? "CORRUPT: no attempt starts from it" : "COMMITTED"},
      {"Kept", checkpoint.keep_reason()}};
  if (checkpoint.has_pin()) {
    lines.emplace_back("Pinned", absl::StrCat("by ", checkpoint.pin().user(), " at ",
                                              FormatTime(checkpoint.pin().create_time())));
    lines.emplace_back("Pinned for", checkpoint.pin().reason());
  }
  if (checkpoint.has_knn_top1_ratio()) lines.emplace_back("k-NN top-1", TopText(checkpoint));
  lines.emplace_back("Restored from", checkpoint.restored_from().empty()
                                          ? "nothing: from the beginning"
                                          : checkpoint.restored_from());
  if (checkpoint.generation() > 0)
    lines.emplace_back("Generation", absl::StrCat(checkpoint.generation()));
  if (!checkpoint.recipe_sha256().empty())
    lines.emplace_back("Recipe", absl::StrCat("sha256 ", checkpoint.recipe_sha256()));
  lines.emplace_back("Size", FormatBytes(checkpoint.size_bytes()));
  lines.emplace_back("URI", checkpoint.uri());
  for (const auto& file : checkpoint.files())
    lines.emplace_back("File", absl::StrCat(file.name(), "  ", FormatBytes(file.size_bytes()),
                                            "  sha256 ", file.sha256()));
  if (verify)
    lines.emplace_back("Verified", "every file has the size and digest it was committed with");
  PrintOne(session.form, checkpoint, lines);
  return kExitOk;
}

struct ExportOptions {
  std::string checkpoint, file;
  std::string names = "torchvision";
  bool ema = false;
  bool force = false;
};

absl::StatusOr<engine::ExportedWeights> WriteExport(const v1::Checkpoint& checkpoint,
                                                    const ExportOptions& options) {
  const std::filesystem::path folder(std::string(absl::StripPrefix(checkpoint.uri(), "file://")));
  std::error_code error;
  if (!IsCloudUri(checkpoint.uri()) && !std::filesystem::is_directory(folder, error)) {
    return Error(absl::StatusCode::kNotFound, reason::kCheckpointNotFound,
                 absl::StrCat(checkpoint.uri(), " is not a folder on this machine"))
        .Hint("run the export where the job's storage is mounted");
  }
  SEER_RETURN_IF_ERROR(CheckNewFile(options.file, options.force));
  const std::filesystem::path to = std::filesystem::absolute(options.file);
  // The URI is the storage's, parameters included, and the checkpoint's key below it.
  const absl::string_view key = absl::StripPrefix(checkpoint.name(), "jobs/");
  const absl::string_view root = absl::StripSuffix(checkpoint.uri(), absl::StrCat("/", key));
  SEER_ASSIGN_OR_RETURN(const auto store, OpenStore(std::string(root), StoreUse::kRead));
  SEER_ASSIGN_OR_RETURN(const auto out, OpenLocalStore(to.parent_path().string()));
  engine::ExportOptions what;
  what.names = engine::FindWeightNames(options.names).value_or(what.names);
  what.mean = options.ema;
  return engine::ExportWeights(*store, std::string(key), what, *out, to.filename().string());
}

int Export(Session& session, const ExportOptions& options) {
  const auto checkpoint = Fetch(session, options.checkpoint, /*verify=*/false);
  if (!checkpoint.ok()) return Fail(checkpoint.status());
  const auto exported = WriteExport(*checkpoint, options);
  if (!exported.ok()) return Fail(exported.status());
  std::fprintf(stderr, "%s: %lld tensors, %s, sha256 %s\n", options.file.c_str(),
               static_cast<long long>(exported->tensors), FormatBytes(exported->size_bytes).c_str(),
               exported->sha256.c_str());
  return kExitOk;
}

void AddExport(CLI::App& noun, Session& session) {
  std::vector<std::string> names;
  for (const engine::WeightNames each : engine::kAllWeightNames)
    names.emplace_back(engine::WeightNamesText(each));
  auto options = std::make_shared<ExportOptions>();
  CLI::App* command = noun.add_subcommand(
      "export", "Write the weights as one safetensors file under another library's names");
  command->add_option("checkpoint", options->checkpoint, "jobs/JOB/checkpoints/STEP, or JOB/STEP")
      ->required();
  command->add_option("--file", options->file, "The file to write")->required();
  AddWord(
      *command, "--names", options->names, names,
      "torchvision, timm, huggingface (trunk), vissl or swav (with head and prototypes); default "
      "torchvision")
      ->type_name("NAMES");
  command->add_flag("--ema", options->ema,
                    "The weights' exponential mean, of a job with optim.emaDecay");
  command->add_flag("--force", options->force, "Replace a file that is there");
  command->footer(
      "Example:\n  seer checkpoint export job_ab12cd34/420 --names timm --file trunk.safetensors");
  command->callback([&session, options] { session.exit_code = Export(session, *options); });
}

}  // namespace

void AddCheckpointCommands(CLI::App& app, Session& session) {
  CLI::App* noun =
      app.add_subcommand("checkpoint", "Look at committed checkpoints, and say which are kept");
  noun->require_subcommand(1);
  noun->footer("Example:\n  seer checkpoint list job_ab12cd34");
  auto job = std::make_shared<std::string>();
  CLI::App* list = noun->add_subcommand("list", "List checkpoints, the newest first");
  list->add_option("job", *job, "Only of this job");
  list->footer("Example:\n  seer checkpoint list job_ab12cd34");
  list->callback([&session, job] { session.exit_code = List(session, *job); });
  for (const bool verify : {false, true}) {
    auto name = std::make_shared<std::string>();
    CLI::App* command =
        verify ? noun->add_subcommand("verify", "Read every file again and compare its digest")
               : noun->add_subcommand("describe", "Show a checkpoint");
    command->add_option("checkpoint", *name, "jobs/JOB/checkpoints/STEP, or JOB/STEP")->required();
    command->footer(absl::StrCat("Example:\n  seer checkpoint ", verify ? "verify" : "describe",
                                 " job_ab12cd34/420"));
    command->callback(
        [&session, name, verify] { session.exit_code = Show(session, *name, verify); });
  }
  AddKeeping(*noun, session);
  AddExport(*noun, session);
}

}  // namespace seer::client
