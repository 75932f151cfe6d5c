// seer worker: list.
#include <grpcpp/grpcpp.h>

#include <CLI/CLI.hpp>

#include <map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "client/cli.h"
#include "client/exit_code.h"
#include "client/paging.h"
#include "seer/v1/workers.grpc.pb.h"

namespace seer::client {
namespace {

using google::protobuf::Message;

const v1::Worker& As(const Message& m) { return static_cast<const v1::Worker&>(m); }

int List(Session& session) {
  const auto channel = session.Coordinator();
  if (!channel.ok()) return Fail(channel.status());
  const auto stub = v1::Workers::NewStub(*channel);
  v1::ListWorkersRequest request;
  const auto workers =
      FetchPages<v1::Worker>(session, "the coordinator", *stub, &v1::Workers::Stub::ListWorkers,
                             request, &v1::ListWorkersResponse::workers);
  if (!workers.ok()) return Fail(workers.status());
  std::vector<const Message*> items;
  for (const auto& worker : *workers) items.push_back(&worker);
  PrintList(
      session.form, items,
      {{"NAME",
        [](const Message& m) { return std::string(absl::StripPrefix(As(m).name(), "workers/")); }},
       {"STATE",
        [](const Message& m) {
          return EnumName(v1::WorkerState_Name(As(m).state()), "WORKER_STATE_");
        }},
       {"DEVICES",
        [](const Message& m) {
          return absl::StrCat(As(m).devices_in_use(), "/", As(m).devices(), " ",
                              As(m).device_kind());
        }},
       {"HEARTBEAT", [](const Message& m) { return FormatAge(As(m).heartbeat_time()); }},
       {"JOBS", [](const Message& m) { return absl::StrJoin(As(m).jobs(), ","); }},
       {"LABELS",
        [](const Message& m) {
          const std::map<std::string, std::string> labels(As(m).labels().begin(),
                                                          As(m).labels().end());
          return absl::StrJoin(labels, ",", absl::PairFormatter("="));
        },
        true},
       {"HOST", [](const Message& m) { return As(m).hostname(); }, true},
       {"ADDRESS", [](const Message& m) { return As(m).address(); }, true},
       {"VERSION", [](const Message& m) { return As(m).version(); }, true}});
  return kExitOk;
}

}  // namespace

void AddWorkerCommands(CLI::App& app, Session& session) {
  CLI::App* noun = app.add_subcommand("worker", "Look at the machines");
  noun->require_subcommand(1);
  noun->footer("Example:\n  seer worker list");
  CLI::App* list = noun->add_subcommand("list", "List workers");
  list->footer("Example:\n  seer worker list -o wide");
  list->callback([&session] { session.exit_code = List(session); });
}

}  // namespace seer::client
