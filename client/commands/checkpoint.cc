// seer checkpoint: list, describe, verify.
#include <grpcpp/grpcpp.h>

#include <CLI/CLI.hpp>
#include <memory>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "client/cli.h"
#include "client/exit_code.h"
#include "common/base/status_macros.h"
#include "common/rpc/status_grpc.h"
#include "seer/v1/checkpoints.grpc.pb.h"

namespace seer::client {
namespace {

using google::protobuf::Message;

constexpr absl::Duration kVerifyLimit = absl::Minutes(30);  // verifying reads every byte

const v1::Checkpoint& As(const Message& m) { return static_cast<const v1::Checkpoint&>(m); }

// "job_x/40" and "job_x/checkpoints/40" are understood as well.
std::string FullName(const std::string& text) {
  std::string name = absl::StartsWith(text, "jobs/") ? text : absl::StrCat("jobs/", text);
  const size_t slash = name.rfind('/');
  if (!absl::StrContains(name, "/checkpoints/") && slash > 5)
    name = absl::StrCat(name.substr(0, slash), "/checkpoints", name.substr(slash));
  return name;
}

int List(Session& session, const std::string& job) {
  const auto channel = session.Coordinator();
  if (!channel.ok()) return Fail(channel.status());
  const auto stub = v1::Checkpoints::NewStub(*channel);
  v1::ListCheckpointsRequest request;
  if (!job.empty())
    request.set_parent(absl::StartsWith(job, "jobs/") ? job : absl::StrCat("jobs/", job));
  std::vector<v1::Checkpoint> checkpoints;
  while (true) {
    v1::ListCheckpointsResponse response;
    const absl::Status status = session.Call("the coordinator", [&](grpc::ClientContext& context) {
      return FromGrpc(stub->ListCheckpoints(&context, request, &response));
    });
    if (!status.ok()) return Fail(status);
    checkpoints.insert(checkpoints.end(), response.checkpoints().begin(),
                       response.checkpoints().end());
    if (response.next_page_token().empty()) break;
    request.set_page_token(response.next_page_token());
  }
  std::vector<const Message*> items;
  for (const auto& checkpoint : checkpoints) items.push_back(&checkpoint);
  PrintList(session.form, items,
            {{"NAME", [](const Message& m) { return As(m).name(); }},
             {"STEP", [](const Message& m) { return absl::StrCat(As(m).step()); }},
             {"SIZE", [](const Message& m) { return FormatBytes(As(m).size_bytes()); }},
             {"FILES", [](const Message& m) { return absl::StrCat(As(m).files_size()); }},
             {"STATE", [](const Message& m) { return As(m).corrupt() ? "CORRUPT" : "COMMITTED"; }},
             {"AGE", [](const Message& m) { return FormatAge(As(m).create_time()); }},
             {"URI", [](const Message& m) { return As(m).uri(); }, true}});
  return kExitOk;
}

int Show(Session& session, const std::string& name, bool verify) {
  const auto channel = session.Coordinator();
  if (!channel.ok()) return Fail(channel.status());
  const auto stub = v1::Checkpoints::NewStub(*channel);
  v1::Checkpoint checkpoint;
  const absl::Status status = session.Call(
      "the coordinator",
      [&](grpc::ClientContext& context) {
        v1::VerifyCheckpointRequest verify_request;
        verify_request.set_name(FullName(name));
        v1::GetCheckpointRequest get_request;
        get_request.set_name(FullName(name));
        return FromGrpc(verify ? stub->VerifyCheckpoint(&context, verify_request, &checkpoint)
                               : stub->GetCheckpoint(&context, get_request, &checkpoint));
      },
      verify ? kVerifyLimit : absl::Seconds(10));
  if (!status.ok()) return Fail(status);
  std::vector<std::pair<std::string, std::string>> lines = {
      {"Checkpoint", checkpoint.name()},
      {"Step", absl::StrCat(checkpoint.step())},
      {"Attempt", absl::StrCat(checkpoint.attempt())},
      {"Committed", FormatTime(checkpoint.create_time())},
      {"State", checkpoint.corrupt() ? "CORRUPT: no attempt starts from it" : "COMMITTED"},
      {"Size", FormatBytes(checkpoint.size_bytes())},
      {"URI", checkpoint.uri()}};
  for (const auto& file : checkpoint.files())
    lines.emplace_back("File", absl::StrCat(file.name(), "  ", FormatBytes(file.size_bytes()),
                                            "  sha256 ", file.sha256()));
  if (verify)
    lines.emplace_back("Verified", "every file has the size and digest it was committed with");
  PrintOne(session.form, checkpoint, lines);
  return kExitOk;
}

}  // namespace

void AddCheckpointCommands(CLI::App& app, Session& session) {
  CLI::App* noun = app.add_subcommand("checkpoint", "Look at committed checkpoints");
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
}

}  // namespace seer::client
